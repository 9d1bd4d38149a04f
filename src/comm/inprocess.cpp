#include "lamina/comm/inprocess.hpp"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <map>
#include <optional>
#include <utility>

#include "comm/bell.hpp"
#include "comm/gather_timeout.hpp"
#include "comm/group_sum.hpp"
#include "comm/lane_book.hpp"
#include "comm/ticket.hpp"
#include "lamina/core/error.hpp"

namespace lamina {

namespace {

struct Parcel {
  std::shared_ptr<Ticket> sender;
  Message message;
};

// A lane between two threads: messages wait for a receive, or a receive waits for a message, never both.
struct Shelf {
  std::deque<Parcel> sent;
  std::shared_ptr<Ticket> receiver;
};

// One round of all_gather. Who was late still finds its round's texts after the next round has begun.
struct Round {
  explicit Round(int num_workers) : texts(static_cast<std::size_t>(num_workers)) {}
  std::vector<std::string> texts;
  std::vector<bool> has_come = std::vector<bool>(texts.size());
  std::size_t num_missing = texts.size();
};

// One sum of a group: what its members brought, and who waits for it.
struct Addition {
  explicit Addition(std::size_t size) : values(size), tickets(size), num_missing(size) {}
  std::vector<std::vector<at::Tensor>> values;
  std::vector<std::shared_ptr<SumTicket>> tickets;
  std::size_t num_missing;
};

// ((v0 + v1) + v2) + ..., tensor by tensor.
std::vector<at::Tensor> add_in_order(const std::vector<std::vector<at::Tensor>>& values) {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> sums;
  for (const at::Tensor& value : values.front())
    sums.push_back(value.detach().clone(at::MemoryFormat::Contiguous));
  for (std::size_t member = 1; member < values.size(); ++member) at::_foreach_add_(sums, values[member]);
  return sums;
}

// What the workers' transports share. All members are guarded by the bell, which does not change.
struct Room {
  explicit Room(int workers) : num_workers(workers), round(std::make_shared<Round>(workers)) {}

  const int num_workers;
  const std::shared_ptr<Bell> bell = std::make_shared<Bell>();
  std::optional<std::pair<int, std::string>> first_opened;  // by whom, and its lanes
  std::vector<Shelf> shelves;
  std::map<std::pair<std::vector<int>, std::int64_t>, Addition> additions;  // under way, by group and number
  std::shared_ptr<Round> round;
};

class InprocessTransport final : public Transport {
 public:
  InprocessTransport(std::shared_ptr<Room> room, int worker, at::DeviceType device)
      : room_(std::move(room)), worker_(worker), book_(room_->bell, worker, room_->num_workers, device) {}

  int worker() const override { return worker_; }
  int num_workers() const override { return room_->num_workers; }

  void open(const std::vector<LaneSpec>& lanes) override {
    book_.open(lanes);
    const Bell::Lock held = room_->bell->lock();
    if (!room_->first_opened) {
      room_->first_opened.emplace(worker_, book_.text());
      room_->shelves.resize(lanes.size());
    }
    const auto& [other_worker, theirs] = *room_->first_opened;
    book_.require_same(other_worker, theirs);
  }

  std::unique_ptr<SendHandle> send(int lane, Message message) override {
    std::shared_ptr<Ticket> ticket = book_.begin_send(lane, message);
    const Bell::Lock held = room_->bell->lock();
    Shelf& shelf = room_->shelves[static_cast<std::size_t>(lane)];
    if (shelf.receiver) {
      ticket->complete(held);
      std::exchange(shelf.receiver, nullptr)->complete(held, std::move(message));
    } else {
      shelf.sent.push_back({ticket, std::move(message)});
    }
    return send_handle(std::move(ticket));
  }

  std::unique_ptr<ReceiveHandle> receive(int lane) override {
    std::shared_ptr<Ticket> ticket = book_.begin_receive(lane);
    const Bell::Lock held = room_->bell->lock();
    Shelf& shelf = room_->shelves[static_cast<std::size_t>(lane)];
    if (shelf.sent.empty()) {
      shelf.receiver = ticket;
    } else {
      shelf.sent.front().sender->complete(held);
      ticket->complete(held, std::move(shelf.sent.front().message));
      shelf.sent.pop_front();
    }
    return receive_handle(std::move(ticket));
  }

  // Who comes last adds for all, so nobody waits.
  std::unique_ptr<SumHandle> sum(const std::vector<int>& group,
                                 const std::vector<at::Tensor>& values) override {
    check_sum(worker_, room_->num_workers, group, values);
    const std::int64_t number = num_sums_[group]++;
    auto ticket = std::make_shared<SumTicket>(room_->bell, worker_, group, number);
    Bell::Lock held = room_->bell->lock();
    room_->bell->require_running(held);
    const auto entry = room_->additions.try_emplace({group, number}, group.size()).first;
    const auto own = std::find(group.begin(), group.end(), worker_) - group.begin();
    entry->second.values[own] = values;
    entry->second.tickets[own] = ticket;
    if (--entry->second.num_missing == 0) {
      const Addition addition = std::move(entry->second);
      room_->additions.erase(entry);
      held.unlock();
      const std::vector<at::Tensor> sums = add_in_order(addition.values);
      held.lock();
      for (const auto& waiting : addition.tickets) waiting->complete(held, sums);
    }
    return sum_handle(std::move(ticket));
  }

  std::vector<std::string> all_gather(const std::string& text, Seconds limit) override {
    Bell::Lock held = room_->bell->lock();
    room_->bell->require_running(held);
    const std::shared_ptr<Round> round = room_->round;
    round->texts[static_cast<std::size_t>(worker_)] = text;
    round->has_come[static_cast<std::size_t>(worker_)] = true;
    if (--round->num_missing == 0) {
      room_->round = std::make_shared<Round>(room_->num_workers);
      room_->bell->ring();
    }
    if (!room_->bell->wait(held, limit, [&] { return round->num_missing == 0; })) {
      std::vector<std::string> missing;
      for (int peer = 0; peer < room_->num_workers; ++peer)
        if (!round->has_come[static_cast<std::size_t>(peer)])
          missing.push_back(fmt::format("worker {}", peer));
      throw gather_timeout(worker_, limit, missing, room_->num_workers);
    }
    return round->texts;
  }

  void abort(const std::string& reason, int) noexcept override { room_->bell->abort(reason); }

 private:
  const std::shared_ptr<Room> room_;
  const int worker_;
  LaneBook book_;
  std::map<std::vector<int>, std::int64_t> num_sums_;  // begun, by group
};

}  // namespace

std::vector<std::unique_ptr<Transport>> make_inprocess_transports(int num_workers, at::DeviceType device) {
  const auto room = std::make_shared<Room>(num_workers);
  std::vector<std::unique_ptr<Transport>> transports;
  for (int worker = 0; worker < num_workers; ++worker) {
    transports.push_back(std::make_unique<InprocessTransport>(room, worker, device));
  }
  return transports;
}

}  // namespace lamina
