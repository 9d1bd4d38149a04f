#include "beat_link.hpp"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "lamina/core/error.hpp"
#include "lamina/core/process.hpp"
#include "snapshot_links.hpp"

namespace lamina {
namespace {

using Json = nlohmann::json;

constexpr int center = 0;
constexpr const char* sentence_part = "sentence";

std::string beat_part(int worker) {
  return fmt::format("beat.{}", worker);
}

at::Tensor tensor_of(const BeatNumbers& numbers) {
  return at::tensor(numbers, at::kLong);
}

}  // namespace

BeatLink::BeatLink(const RunPlan& plan, Transport& transport, Seconds limit,
                   const std::function<std::string(const std::string&)>& public_address, BeatEvents events)
    : worker_(transport.worker()), events_(std::move(events)) {
  const MeetingPlace place = agree_on_meeting(plan, transport, limit);
  exchange_ = make_exchange(
      {.worker = worker_,
       .token = place.token,
       .newest_wins = true,
       .timeout = limit,
       .interface = place.interface},
      [this](const std::shared_ptr<const Snapshot>& snapshot) { received(*snapshot); },
      [this](int peer, const Error&) { events_.gone(peer); });
  const std::string own = exchange_->address();
  const Json word = {
      {"address", public_address ? public_address(own) : own}, {"host", host_name()}, {"pid", process_id()}};
  std::vector<std::string> addresses;
  for (const std::string& text : transport.all_gather(word.dump(), limit)) {
    const Json other = Json::parse(text);
    addresses.push_back(other.at("address"));
    names_.push_back({.host = other.at("host"), .pid = other.at("pid")});
  }
  exchange_->connect(peers(addresses), limit);
}

std::vector<ExchangePeer> BeatLink::peers(const std::vector<std::string>& addresses) const {
  const auto beat = [](int worker) {
    return snapshot_shape(beat_part(worker), {tensor_of(numbers_of(WorkerBeat()))});
  };
  if (worker_ != center)
    return {{.worker = center,
             .address = addresses.front(),
             .receives = {beat(center), snapshot_shape(sentence_part, {tensor_of(numbers_of(Sentence()))})}}};
  std::vector<ExchangePeer> others;
  for (int worker = center + 1; worker < std::ssize(addresses); ++worker)
    others.push_back({.worker = worker,
                      .address = addresses[static_cast<std::size_t>(worker)],
                      .receives = {beat(worker)}});
  return others;
}

void BeatLink::send(const WorkerBeat& beat) {
  send(beat_part(worker_), numbers_of(beat));
}

void BeatLink::send(const Sentence& sentence) {
  send(sentence_part, numbers_of(sentence));
}

void BeatLink::send(const std::string& name, const BeatNumbers& numbers) {
  const auto snapshot = std::make_shared<const Snapshot>(
      Snapshot{.part = name, .version = ++version_, .tensors = {tensor_of(numbers)}});
  if (worker_ != center) return exchange_->send(center, snapshot);
  for (int worker = center + 1; worker < std::ssize(names_); ++worker) exchange_->send(worker, snapshot);
}

void BeatLink::received(const Snapshot& snapshot) const {
  const auto* numbers = snapshot.tensors.front().const_data_ptr<std::int64_t>();
  if (snapshot.part == sentence_part) {
    const Sentence sentence = sentence_of(numbers);
    if (sentence.cause.worker >= std::ssize(names_))
      throw Error(ErrorKind::contract,
                  fmt::format("expected one of {} workers, found {}", names_.size(), sentence.cause.worker));
    return events_.sentence(sentence);
  }
  const std::size_t behind_dot = snapshot.part.find('.') + 1;
  events_.beat(std::stoi(snapshot.part.substr(behind_dot)), beat_of(numbers));
}

}  // namespace lamina
