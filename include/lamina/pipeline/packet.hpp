#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "lamina/comm/transport.hpp"
#include "lamina/nn/head.hpp"

namespace lamina {

/// What a packet asks of the stages. Everything travels in the one stream, so nothing ever drains the
/// pipeline.
enum class PacketKind {
  train,       ///< one step of training
  eval,        ///< a batch of the test set, forward only
  checkpoint,  ///< a mark: save the state as it is now
  stop,        ///< a mark: save, and then end; nothing follows
  flush,       ///< a mark between workers alone: end the step that is still open, since none follows at once
};

/// What one branch of a module said of the batch as it passed.
struct LossReport {
  std::string branch;        ///< independent | cascaded | classifier
  double loss = 0;           ///< of a replica: its share of the batch's mean
  std::int64_t correct = 0;  ///< -1: unknown
};
struct ModuleReport {
  std::vector<LossReport> losses{};
};

/// What a stage has to say of the step.
struct StageReport {
  double compute_s = 0;  ///< of the step; end to end: since the report before, which lacked its backwards
  std::int64_t age_steps = 0;  ///< of the oldest snapshot used
  double snapshot_wait_s = 0;
  double replica_wait_s = 0;  ///< for the other replicas' gradients; not in compute_s
  double input_wait_s = 0;    ///< since the step before, of the worker's first stage: for the stage before
  double room_wait_s = 0;     ///< as input_wait_s, for the stage after
  double memory_mib = 0;      ///< resident in the process
  double checkpoint_wait_s =
      0;  ///< as input_wait_s: for the checkpoint before, which was still being written
  double device_memory_mib = 0;  ///< the most that tensors of the process have taken of its GPU
  bool skipped = false;          ///< it left its state as it was: see Packet::skipped
};

/// One batch, or a mark, on its way through the stages. What a stage has to tell rides along, so that the
/// last stage knows of all and nothing has to flow back.
struct Packet {
  PacketKind kind = PacketKind::train;
  std::int64_t step = 0;           ///< of a train packet: its number from 0; of others: steps done so far
  std::int64_t epoch = 0;          ///< from 0
  std::int64_t total_steps = 0;    ///< that the run will have had at its end
  double lr = 0;                   ///< of a train packet
  std::int64_t batch = 0;          ///< samples of all replicas' pieces together; of a mark 0
  bool closes_evaluation = false;  ///< the last eval packet of a run over the test set
  bool evaluated = false;          ///< of a mark: no evaluation is due any more at this step
  /// Of a train packet: a stage passed so far found a number that is not finite (OnNonfinite::skip). It and
  /// those behind it leave this step out; those behind it compute nothing and say NaN of its losses.
  bool skipped = false;
  /// Behind a number that is not finite (OnNonfinite::rollback): a stage passed so far is spoilt. Training
  /// steps are skipped, what evaluations find and marks save is of no worth.
  bool abandoned = false;
  at::Tensor x_BCHW{};                  ///< undefined in a mark
  at::Tensor y_B{};                     ///< int64; undefined in a mark
  at::Tensor image_BCHW{};              ///< what decoders are to show, uint8; undefined where none does
  std::vector<ModuleReport> modules{};  ///< of a train packet: the modules passed so far, in order
  std::vector<StageReport> stages{};    ///< the stages passed so far, in order
  /// What the workers passed so far have to tell of the checkpoints that they have written since.
  std::vector<std::string> notes{};

  bool is_mark() const { return kind != PacketKind::train && kind != PacketKind::eval; }
  double share() const {  ///< the part of the batch that is here
    return static_cast<double>(y_B.size(0)) / static_cast<double>(batch);
  }
  Targets targets() const { return {y_B, image_BCHW}; }
  std::int64_t samples() const { return x_BCHW.defined() ? x_BCHW.size(0) : 0; }
};

/// What the packets on a lane between two workers hold at most.
struct PacketShape {
  FeatureShape features;
  FeatureShape image{};  ///< where somebody behind the lane needs images
  std::int64_t batch = 0;
  at::ScalarType dtype = at::kFloat;
  at::MemoryFormat format = at::MemoryFormat::ChannelsLast;
};
LaneSpec packet_lane(int from, int to, const PacketShape& shape, int buffers);

/// A lane of gradients at a stage's output, of the packets' features alone.
LaneSpec gradient_lane(int from, int to, const PacketShape& shape, int buffers);

/// A packet as a lane's message, and back; a mark's empty tensors are made on `device`, where a batch's lie.
/// @throws Error{contract} for a header that is not a packet's.
Message to_message(Packet packet, const LaneSpec& lane, at::Device device = at::kCPU);
Packet to_packet(Message message);

/// A micro-batch's gradient as a message, and back. @throws Error{contract} for that of another micro-batch.
Message to_gradient_message(const at::Tensor& grad_BCHW, int micro, const LaneSpec& lane);
at::Tensor to_gradient(Message message, int micro);

}  // namespace lamina
