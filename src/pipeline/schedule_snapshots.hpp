#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "schedule_traffic.hpp"

namespace lamina {

/// When the snapshots of a played schedule are where they are read.
class ScheduleSnapshots {
 public:
  ScheduleSnapshots(const Schedule& schedule, const PlayOptions& options, Wake wake);

  /// When all versions that a step needs are at the worker; 0 if it needs none that have to be made, `never`
  /// while that is not known. Steps of a stage at a worker only grow.
  double ready_s(int stage, int worker, std::int64_t step);

  /// The stage has come to `version` at `now_s`.
  void publish(int stage, std::int64_t version, double now_s);

  /// What ready_s() waits for.
  Wait wait_for(int stage, int worker, std::int64_t step) const;

 private:
  /// From an owner to one worker that shadows its parts.
  struct Edge {
    int owner;
    int owner_worker;
    int reader;
    int worker;
    LinkTime link;
    std::deque<double> there_s;  // by published version, version 0 first
    std::int64_t first = 0;      // which one the first in there_s is
    double free_s = 0;
  };
  const double* find(const Edge& edge, std::int64_t step) const;

  const SnapshotPolicy policy_;
  const Wake wake_;
  std::vector<Edge> edges_;
  std::vector<std::vector<std::size_t>> from_;  // edges by the owner
  std::vector<std::vector<std::size_t>> to_;    // by the stage that reads
};

}  // namespace lamina
