#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "lamina/control/run_figures.hpp"
#include "lamina/core/clock.hpp"
#include "lamina/pipeline/packet.hpp"

namespace lamina {

/// The first steps of a run, of which its throughput knows nothing: allocator and kernels settle.
constexpr std::int64_t uncounted_steps = 3;

/// What a person sees of a run.
enum class Display {
  nothing,
  lines,  ///< one now and then, for pipes and files
  bar,    ///< a line that is drawn anew, for terminals
};

/// Seconds as "3m07s" or "1h02m".
std::string duration_text(double s);

class EventFile;
class SpikeWatch;

struct ReporterOptions {
  std::filesystem::path directory{};  ///< of metrics.jsonl and TensorBoard's files; empty: none are written
  std::int64_t start_step = 0;        ///< lines of steps from here on, left from before a resume, are dropped
  bool start_evaluated = true;        ///< that of an evaluation at this step is kept
  Display display = Display::nothing;
  std::int64_t tensorboard_every_steps = 0;       ///< 0: no files for TensorBoard
  double spike_factor = 0;                        ///< of SpikeWatch, whose lines go to the log; 0: none
  RunFigures figures{};                           ///< who computes what, and no step done
  std::function<void(const RunFigures&)> show{};  ///< called after every step and evaluation, if set
};

/// What the last stage makes of the packets that reach it: sums, metrics.jsonl, scalars for TensorBoard, the
/// figures for who watches the run, and what a person sees.
///
/// metrics.jsonl has one line a training step,
/// {"kind":"train","step":...,"planned_steps":...,"epoch":...,"lr":...,"step_s":...,"images_per_s":...,
/// "rss_mib":of this process}, with lists by module, "loss", "accuracy", "stage", and "loss_independent"
/// where modules have two branches, and lists by stage, "worker", "busy", "input_wait_s", "room_wait_s",
/// "snapshot_wait_s", "replica_wait_s", "checkpoint_wait_s", "snapshot_age", "skipped" (1: it left the step
/// out), "memory_mib", "device_memory_mib"; and one line an evaluation, {"kind":"eval",...}. What a worker
/// with several stages waited is told by its first. A loss that is not finite, or not there, is null.
class Reporter {
 public:
  explicit Reporter(ReporterOptions options);
  ~Reporter();

  void on_packet(const Packet& packet);

  double test_accuracy() const { return test_accuracy_; }
  double test_loss() const { return test_loss_; }
  double images_per_s() const { return train_s_ > 0 ? static_cast<double>(train_images_) / train_s_ : 0; }
  /// Seconds between training steps in the steady stream.
  double seconds_per_step() const {
    return train_steps_ > 0 ? train_s_ / static_cast<double>(train_steps_) : 0;
  }
  /// Mean compute seconds a training step, by stage; the first steps, which warm up, are left out.
  std::vector<double> stage_seconds() const;

 private:
  std::filesystem::path metrics_path() const;
  void on_train(const Packet& packet);
  void on_eval(const Packet& packet);
  void tell(const nlohmann::json& record);
  void flush();
  void show_step(const Packet& packet, double step_s);
  void show_line(const std::string& line);

  ReporterOptions options_;
  RunFigures figures_;
  std::ofstream metrics_;
  std::unique_ptr<EventFile> events_;
  std::unique_ptr<SpikeWatch> spikes_;
  Stopwatch since_flushed_;
  Stopwatch since_packet_;
  Stopwatch since_shown_;
  bool after_train_ = false;  // the packet before was a training step, so the interval is one of the stream
  std::int64_t seen_steps_ = 0;
  std::int64_t train_steps_ = 0;
  std::int64_t train_images_ = 0;
  double train_s_ = 0;
  std::vector<double> stage_s_;
  std::int64_t stage_steps_ = 0;
  std::int64_t eval_correct_ = 0;
  std::int64_t eval_images_ = 0;
  double eval_loss_ = 0;
  double test_accuracy_ = -1;
  double test_loss_ = 0;
};

}  // namespace lamina
