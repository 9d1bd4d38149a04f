#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "lamina/comm/transport.hpp"
#include "lamina/nn/layer.hpp"

namespace lamina {

/// What a packet asks of the stages. Everything travels in the one stream, so nothing ever drains the
/// pipeline.
enum class PacketKind {
  train,       ///< one step of training
  eval,        ///< a batch of the test set, forward only
  checkpoint,  ///< a mark: save the state as it is now
  stop,        ///< a mark: save, and then end; nothing follows
};

/// What one module said of the batch as it passed.
struct ModuleReport {
  double loss = 0;
  std::int64_t correct = 0;
};

/// One batch, or a mark, on its way through the stages. What a stage has to tell rides along, so that the
/// last stage knows of all and nothing has to flow back.
struct Packet {
  PacketKind kind = PacketKind::train;
  std::int64_t step = 0;           ///< of a train packet: its number from 0; of others: steps done so far
  std::int64_t epoch = 0;          ///< from 0
  std::int64_t total_steps = 0;    ///< that the run will have had at its end
  double lr = 0;                   ///< of a train packet
  bool closes_evaluation = false;  ///< the last eval packet of a run over the test set
  bool evaluated = false;          ///< of a mark: no evaluation is due any more at this step
  at::Tensor x_BCHW{};             ///< undefined in a mark
  at::Tensor y_B{};                ///< int64; undefined in a mark
  std::vector<ModuleReport> modules{};  ///< of a train packet: the modules passed so far, in order
  std::vector<double> stage_s{};        ///< compute seconds of the stages passed so far, in order
  std::vector<std::string> notes{};     ///< of a mark: what each stage passed so far wrote down

  bool is_mark() const { return kind == PacketKind::checkpoint || kind == PacketKind::stop; }
  std::int64_t samples() const { return x_BCHW.defined() ? x_BCHW.size(0) : 0; }
};

/// The lane between two workers for packets whose activations have shape `features` and at most `batch`
/// samples.
LaneSpec packet_lane(int from, int to, const FeatureShape& features, std::int64_t batch, at::ScalarType dtype,
                     at::MemoryFormat format, int buffers);

/// A packet as a lane's message, and back. @throws Error{contract} for a header that is not a packet's.
Message to_message(Packet packet, const LaneSpec& lane);
Packet to_packet(Message message);

}  // namespace lamina
