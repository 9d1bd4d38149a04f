#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "lamina/core/config.hpp"

namespace lamina {

struct SnapshotsConfig {
  std::string policy = "lag";      ///< lag | latest
  IntOrAuto lag{};                 ///< d; auto: as large as costs no throughput
  std::int64_t every = 1;          ///< steps between published versions
  std::string interface = "auto";  ///< that snapshots travel by: a name, a network or an address
  void visit(FieldVisitor& v);
};

/// Which version of a part a step uses, worked out; docs/method.md, As a pipeline. Version v is the state at
/// the beginning of step v.
struct SnapshotPolicy {
  bool newest_wins = false;  ///< latest: whatever is there; otherwise exactly version_for()
  std::int64_t lag = 0;
  std::int64_t every = 1;

  /// The newest published version up to max(0, step - lag).
  std::int64_t version_for(std::int64_t step) const;
  bool publishes(std::int64_t version) const { return version % every == 0; }
  /// Versions of a part that must be held, so that no reader comes too late.
  std::size_t depth() const;
};

/// `lag: auto` is (buffers + 1) * (stages - 1) + 1: a stage is ahead of the one behind it by at most the
/// messages of a lane and one in hand, and a version needs up to a step to travel. So nobody ever waits for a
/// version for longer than it would have waited for room.
SnapshotPolicy resolve_policy(const SnapshotsConfig& config, std::int64_t num_stages, std::int64_t buffers);

}  // namespace lamina
