#include "lamina/pipeline/snapshot_policy.hpp"

#include <algorithm>

namespace lamina {

void SnapshotsConfig::visit(FieldVisitor& v) {
  v.field("policy", &policy, "lag: exactly the version of `lag` steps ago; latest: the newest there is",
          one_of({"lag", "latest"}));
  v.field("lag", &lag, "steps that a shadow is behind; auto: as many as cost no throughput; 0: exact, serial",
          at_least(0));
  v.field("every", &every, "steps between two published versions", at_least(1));
  v.field("interface", &interface,
          "network interface of a host that others reach its snapshots by: a name, or a network such as "
          "10.1.0.0/16");
}

std::int64_t SnapshotPolicy::version_for(std::int64_t step) const {
  return std::max<std::int64_t>(0, step - lag) / every * every;
}

// The owner has just published v, a reader is at step v or later and needs version_for(v) at the oldest.
std::size_t SnapshotPolicy::depth() const {
  return newest_wins ? 1 : static_cast<std::size_t>((lag + every - 1) / every + 1);
}

SnapshotPolicy resolve_policy(const SnapshotsConfig& config, std::int64_t num_stages, std::int64_t buffers) {
  const bool newest_wins = config.policy == "latest";
  const std::int64_t automatic = num_stages > 1 ? (buffers + 1) * (num_stages - 1) + 1 : 0;
  return {.newest_wins = newest_wins,
          .lag = newest_wins ? 0 : config.lag.value_or(automatic),
          .every = config.every};
}

}  // namespace lamina
