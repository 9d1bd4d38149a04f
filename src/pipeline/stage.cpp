#include "lamina/pipeline/stage.hpp"

#include <ATen/ATen.h>

#include "lamina/core/clock.hpp"
#include "lamina/core/error.hpp"

namespace lamina {
namespace {

Sgd make_optimizer(const SgdConfig& config, const Module& module) {
  std::vector<at::Tensor> parameters = module.block_parameters();
  parameters.insert(parameters.end(), module.head_parameters().begin(), module.head_parameters().end());
  return Sgd(config, std::move(parameters));
}

}  // namespace

Stage::Stage(int index, const std::vector<ModuleSpec>& modules, const SgdConfig& sgd, const Initializer& init)
    : index_(index) {
  parts_.reserve(modules.size());
  for (const ModuleSpec& spec : modules) {
    Module module(spec, init);
    Sgd optimizer = make_optimizer(sgd, module);
    parts_.push_back({std::move(module), std::move(optimizer)});
  }
}

Packet Stage::process(Packet packet) {
  if (packet.is_mark()) throw Error(ErrorKind::contract, "a stage computes on batches, found a mark");
  const Stopwatch watch;
  at::Tensor x_BCHW = std::move(packet.x_BCHW);
  const auto samples = x_BCHW.size(0);
  for (Part& part : parts_)
    x_BCHW = packet.kind == PacketKind::train ? train(part, x_BCHW, packet) : eval(part, x_BCHW, packet);
  // Behind the classifier nobody reads the activation: only how many samples there were.
  packet.x_BCHW = x_BCHW.defined() ? x_BCHW : at::empty({samples, 0, 0, 0});
  packet.stage_s.push_back(watch.elapsed_s());
  return packet;
}

// METHOD section 6: one forward; the head's gradient at the detached output; one parameter pullback; update.
at::Tensor Stage::train(Part& part, const at::Tensor& x_BCHW, Packet& packet) {
  const Pass pass = part.module.forward(x_BCHW, Mode::train);
  const at::Tensor features = pass.features();
  HeadResult head = part.module.head().train(features, packet.y_B);
  packet.modules.push_back({head.loss, head.correct});
  std::vector<at::Tensor> grads = part.module.pull_to_parameters(pass, head.feature_grad);
  grads.insert(grads.end(), head.parameter_grads.begin(), head.parameter_grads.end());
  part.optimizer.step(grads, packet.lr);
  return part.module.spec().is_last() ? at::Tensor() : features;
}

at::Tensor Stage::eval(const Part& part, const at::Tensor& x_BCHW, Packet& packet) {
  const at::Tensor features = part.module.forward(x_BCHW, Mode::eval).output;
  if (!part.module.spec().is_last()) return features;
  const HeadResult head = part.module.head().eval(features, packet.y_B);
  packet.modules.push_back({head.loss, head.correct});
  return {};
}

}  // namespace lamina
