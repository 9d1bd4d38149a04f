#pragma once

#include <map>
#include <string>
#include <vector>

#include "lamina/pipeline/packet.hpp"
#include "lamina/pipeline/stage.hpp"

namespace lamina::tests {

/// docs/method.md, Windows, with leaps, heads and losses, as they are written, for a whole network at once:
/// every loss of every module is computed by itself, from the window's input on, and differentiated by
/// autograd. Nothing is shared between losses. It has tensors of its own, by the names of the trainer's, with
/// the same first values.
class NaiveStep {
 public:
  using Tensors = std::map<std::string, at::Tensor>;

  NaiveStep(const std::vector<ModuleSpec>& modules, const StageOptions& options, const Initializer& init);

  /// One training step. @return the gradients, by the parameter's name.
  Tensors step(const Packet& packet);

  /// Parameters and EMAs, by name.
  const Tensors& tensors() const { return tensors_; }

 private:
  struct Looking {  // a branch
    BranchSpec spec;
    std::vector<Block> augs;
    at::Tensor scale;
    Head head;
  };
  struct Part {
    ModuleSpec spec;
    std::vector<Block> blocks;
    std::vector<Looking> branches;
  };

  at::Tensor run(std::size_t first, std::size_t last, at::Tensor x_BCHW) const;
  at::Tensor loss(const Looking& branch, const at::Tensor& features, const Targets& targets) const;
  void add_gradients(const at::Tensor& loss, Tensors& grads) const;
  void enter(const std::vector<NamedTensor>& tensors);
  void update_emas();
  void descend(const Tensors& grads, double lr);

  StageOptions options_;
  std::vector<Part> parts_;
  std::map<std::string, Block> emas_;  // by the block's name
  std::vector<std::string> fixed_;     // blocks whose EMA stays as it is
  Tensors tensors_;
  Tensors trained_;
  Tensors momentum_;
};

}  // namespace lamina::tests
