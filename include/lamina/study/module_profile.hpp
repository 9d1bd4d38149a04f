#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "lamina/study/stage_plan.hpp"
#include "lamina/train/run_plan.hpp"

namespace lamina {

/// What a run of modules was measured to cost as a stage by itself.
struct RunCost {
  double seconds = 0;     ///< a training step
  double kept_bytes = 0;  ///< between steps: parameters, momentum, shadows, the input
  double peak_bytes = 0;  ///< within a step, those included
  double forward_s = 0;  ///< of the seconds, where the schedule has a backward by itself; else, or unknown, 0
  double forward_share() const { return seconds > 0 ? forward_s / seconds : 0; }
};

/// Measurements for windows of k modules. What a module adds to a stage depends on the k-1 modules before it,
/// whose windows it is in, and on no others; so runs of up to k modules say what any stage costs.
struct WindowProfile {
  std::int64_t window = 1;
  std::vector<std::vector<RunCost>> runs{};  ///< [n-1][m]: the n modules up to m; empty where there are fewer
  std::vector<RunCost> with_shadows{};       ///< [m]: up to k-1 modules up to m, with the shadows behind them

  /// What the modules first to last cost as a stage; with `lookahead` also the shadows behind them.
  RunCost cost(int first, int last, bool lookahead) const;
};

/// What the modules of a network cost on a machine.
struct ModuleProfile {
  std::map<std::string, std::string> of{};  ///< the configuration's fields that decide it
  std::string machine{};
  int neighbours = 0;                    ///< workers that computed beside on that machine
  double deviation = 0;                  ///< of a stage's actions from their mean time, as a part of it
  std::vector<double> message_bytes{};   ///< by module: a batch's output
  std::vector<double> gradient_bytes{};  ///< by module
  std::vector<WindowProfile> windows{};

  /// @throws Error{config} if that window was not measured.
  const WindowProfile& of_window(std::int64_t window) const;
};

/// Measures the plan's modules on the whole batch, with the windows given. `repeats` steps each, all of a
/// window's modules by turns; the median counts. So many `neighbours` step other stages of the plan
/// meanwhile, in threads of their own, as workers of the same host will in a run (0: nobody). End to end the
/// memory is what the first worker needs, which holds the most micro-batches; others need less.
///
/// Memory   parameters and momenta of all runs of a window's modules at once, k (k+1) / 2 times the
///          network's, but a batch of each shape once; and a stage's for each neighbour.
ModuleProfile measure_profile(const RunPlan& plan, const std::vector<std::int64_t>& windows, int repeats,
                              int neighbours = 0);

/// Workers that a plan's worker shares its host with, as far as there are processors for all of their
/// threads: of an MPI job with several processes the others on this host, else all but one. On GPUs none, as
/// each has its own.
int neighbours_of(const RunPlan& plan, const MpiLaunch& launch);

/// @throws Error{storage}
void write_profile(const std::filesystem::path& path, const ModuleProfile& profile);

/// What a profile's batch has to be.
enum class ProfiledBatch {
  same,          ///< the plan's
  in_proportion  ///< any, under any schedule; what the plan's costs is taken to be in proportion to it
};

/// @throws Error{config} if the file is no profile, or one of another network, batch or number of threads
/// than the plan's: names the first field that differs. Error{storage} if it cannot be read.
ModuleProfile read_profile(const std::filesystem::path& path, const RunPlan& plan,
                           ProfiledBatch batch = ProfiledBatch::same);

/// Bytes of the versions of snapshots that are held for the modules first to last as a stage: as many as the
/// plan's policy needs, of every part that it publishes or shadows.
std::function<double(int first, int last)> snapshot_bytes(const RunPlan& plan, std::int64_t window,
                                                          bool lookahead);

/// Stage costs of a profile, to which they refer: each worker also holds `buffers` messages in and out.
StageProblem stage_problem(const ModuleProfile& profile, std::int64_t window, bool lookahead, int buffers);

}  // namespace lamina
