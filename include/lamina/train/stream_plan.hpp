#pragma once

#include <cstdint>

#include "lamina/data/loader.hpp"
#include "lamina/pipeline/packet.hpp"
#include "lamina/train/run_config.hpp"

namespace lamina {

/// One item of the stream that the first stage feeds: a packet without its tensors, and the batch to fill it
/// with.
struct StreamItem {
  Packet packet{};
  BatchRequest batch{};  ///< of train and eval packets

  bool has_batch() const { return !packet.is_mark(); }
};

/// What may be asked of a stream under way.
enum class Wish {
  none,
  checkpoint,  ///< save, and go on
  stop,        ///< save, and end
};

/// The order of everything that a run sends through its stages, as a pure function of the configuration and
/// of where it starts: training batches, evaluations, checkpoint marks, and the stop mark at the end.
class StreamPlan {
 public:
  struct Start {
    std::int64_t step = 0;       ///< steps already done
    bool evaluated = true;       ///< no evaluation is due at that step
    std::int64_t rollbacks = 0;  ///< that the run has made: another order of the data, see Source
  };

  StreamPlan(const RunConfig& config, std::int64_t num_train, std::int64_t num_test, Start start);

  /// Only an evaluation at `step`, and the stop mark.
  static StreamPlan evaluation_only(const RunConfig& config, std::int64_t num_test, std::int64_t step);

  /// The next item. Not to be called after the stop mark.
  StreamItem next();

  /// The stop mark for leaving the stream here, before the next item.
  StreamItem stop_here() const;

  /// Whether the next item is an evaluation's last.
  bool closes_evaluation() const { return due_ == Due::eval && eval_first_ + eval_batch_ >= num_test_; }

  /// Puts a checkpoint mark before the next training step, unless the one that stands there already, or the
  /// stop, does as well.
  void save_soon() { save_wanted_ = true; }

  std::int64_t steps_per_epoch() const { return steps_per_epoch_; }
  std::int64_t total_steps() const { return total_steps_; }

 private:
  enum class Due { train, eval, checkpoint };

  StreamItem train_item();
  StreamItem eval_item();
  StreamItem mark(PacketKind kind) const;
  bool evaluates_after(std::int64_t steps) const;
  bool saves_after(std::int64_t steps) const;

  TrainConfig train_;
  std::int64_t eval_batch_;
  std::int64_t save_every_;
  std::int64_t num_train_;
  std::int64_t num_test_;
  std::int64_t steps_per_epoch_;
  std::int64_t total_steps_;
  std::int64_t step_;            // steps done
  std::int64_t eval_first_ = 0;  // next test image of the evaluation under way
  bool save_wanted_ = false;
  std::int64_t saved_step_ = -1;  // of the newest checkpoint mark
  Due due_;
};

}  // namespace lamina
