#include "agreement.hpp"

#include <fmt/format.h>
#include <torch/headeronly/version.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>

#include "lamina/comm/mpi.hpp"
#include "lamina/comm/nccl.hpp"
#include "lamina/core/digest.hpp"
#include "lamina/core/error.hpp"
#include "lamina/core/files.hpp"
#include "lamina/core/process.hpp"

namespace lamina {

using Json = nlohmann::json;

namespace {

// Hosts differ in these, and nothing that travels depends on them.
constexpr std::array<std::string_view, 3> own_of_a_host{"pipeline.bind", "pipeline.threads",
                                                        "snapshots.interface"};

Json words_of(const RunPlan& plan) {
  Json words = {{"build", sha256_hex(read_file("/proc/self/exe")).substr(0, 16)},
                {"LibTorch", TORCH_VERSION},
                {"MPI", mpi_version()},
                {"NCCL", nccl_version()}};
  for (const EffectiveField& field : list_fields(plan.config))
    if (std::find(own_of_a_host.begin(), own_of_a_host.end(), field.key) == own_of_a_host.end())
      words[field.key] = field.value;
  return words;
}

std::string difference(const Json& mine, const Json& theirs) {
  for (const auto& [key, value] : mine.items())
    if (theirs.value(key, Json()) != value)
      return fmt::format("{}: expected {} as worker 0 has, found {}", key, value.get<std::string>(),
                         theirs.value(key, Json("nothing")).get<std::string>());
  return {};
}

}  // namespace

void require_agreement(const RunPlan& plan, Transport& transport, Seconds limit) {
  const Json own = {{"host", host_name()}, {"words", words_of(plan)}};
  const std::vector<std::string> all = transport.all_gather(own.dump(), limit);
  const Json first = Json::parse(all.front()).at("words");
  for (std::size_t worker = 1; worker < all.size(); ++worker) {
    const Json other = Json::parse(all[worker]);
    const std::string found = difference(first, other.at("words"));
    if (found.empty()) continue;
    throw Error(transport.worker() == 0 ? ErrorKind::config : ErrorKind::peer_lost,
                fmt::format("worker {} on {} was started otherwise: {}", worker,
                            other.at("host").get<std::string>(), found));
  }
}

std::string hear_first(Transport& transport, Seconds limit, const std::function<std::string()>& act) {
  std::optional<Error> error;
  Json word = Json::object();
  if (transport.worker() == 0) {
    try {
      word["said"] = act();
    } catch (const std::exception& e) {
      error = as_error(e);
      word["error"] = error->what();
    }
  }
  // A system's message may name a file in any bytes.
  const std::string text = word.dump(-1, ' ', false, Json::error_handler_t::replace);
  const Json first = Json::parse(transport.all_gather(text, limit).front());
  if (error) throw *error;
  if (first.contains("error")) throw Error(ErrorKind::peer_lost, first.at("error").get<std::string>());
  return first.at("said");
}

}  // namespace lamina
