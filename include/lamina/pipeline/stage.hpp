#pragma once

#include <cstdint>
#include <vector>

#include "lamina/nn/module.hpp"
#include "lamina/nn/sgd.hpp"
#include "lamina/pipeline/packet.hpp"

namespace lamina {

/// The modules that one worker trains together, with their heads and optimizers. Knows no rank and no thread.
///
/// Threads  one at a time.
/// Memory   between steps parameters, momentum and buffers only; within a step the graph of one module.
class Stage {
 public:
  struct Part {
    Module module;
    Sgd optimizer;  ///< of the blocks' parameters and then the head's
  };

  Stage(int index, const std::vector<ModuleSpec>& modules, const SgdConfig& sgd, const Initializer& init);

  int index() const { return index_; }

  /// One training step, or one evaluation forward, by the packet's kind. The packet goes out with this
  /// stage's output, detached, and its reports; the network's last stage leaves no activation. Marks are not
  /// for a stage.
  Packet process(Packet packet);

  const std::vector<Part>& parts() const { return parts_; }

 private:
  static at::Tensor train(Part& part, const at::Tensor& x_BCHW, Packet& packet);
  static at::Tensor eval(const Part& part, const at::Tensor& x_BCHW, Packet& packet);

  int index_;
  std::vector<Part> parts_;
};

}  // namespace lamina
