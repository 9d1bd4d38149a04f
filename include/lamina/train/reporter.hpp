#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "lamina/core/clock.hpp"
#include "lamina/pipeline/packet.hpp"

namespace lamina {

/// What a person sees of a run.
enum class Display {
  nothing,
  lines,  ///< one now and then, for pipes and files
  bar,    ///< a line that is drawn anew, for terminals
};

/// What the last stage makes of the packets that reach it: sums, metrics.jsonl, and what a person sees.
///
/// metrics.jsonl has one line a training step,
/// {"kind":"train","step":...,"epoch":...,"lr":...,"images_per_s":..., "rss_mib":of this process,"loss":[by
/// module],"accuracy":[by module],"busy":[by stage],"snapshot_age":[by stage],"snapshot_wait_s":[by stage]},
/// with "loss_independent":[by module] where modules have two branches, and one an evaluation,
/// {"kind":"eval",...}.
class Reporter {
 public:
  /// Lines of steps from `start_step` on, left over from before a resume, are dropped from `metrics`. An
  /// empty path writes none.
  Reporter(const std::filesystem::path& metrics, std::int64_t start_step, Display display);

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
  void on_train(const Packet& packet);
  void on_eval(const Packet& packet);
  void show_step(const Packet& packet, double step_s);
  void show_line(const std::string& line);

  std::ofstream metrics_;
  Display display_;
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
