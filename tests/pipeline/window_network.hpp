#pragma once

#include <ATen/ATen.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "lamina/pipeline/snapshot_plane.hpp"
#include "lamina/pipeline/stage_cut.hpp"
#include "small_network.hpp"

// A network with windows, as one stage or as several that shadow one another, in double precision.
namespace lamina::tests {

using Tensors = std::map<std::string, at::Tensor>;

/// A ResNet-14 on 16x16 images in its six blocks.
inline std::vector<ModuleSpec> six_modules(const MethodConfig& method) {
  const Backbone net = make_backbone({.backbone = "resnet14"}, {3, 16, 16}, 10);
  return make_modules(net, cut_into_modules(net, {.modules = 6}), method);
}

inline MethodConfig mlaan(std::int64_t window, const std::string& framework = "greedy") {
  return {.framework = framework, .use_mlaan = true, .mlaan = {.window = window, .wx = 0.3, .wy = 0.7}};
}

inline StageOptions options_for(const MethodConfig& method) {
  return {.window = resolve_mlaan(method).window, .ema_momentum = 0.9};
}

inline Packet six_packet(std::int64_t step, double lr = 0.1) {
  at::manual_seed(500 + step);
  Packet packet;
  packet.step = step;
  packet.lr = lr;
  packet.batch = 4;
  packet.x_BCHW = at::randn({4, 3, 16, 16}, at::kDouble).contiguous(at::MemoryFormat::ChannelsLast);
  packet.y_B = at::randint(10, {4}, at::kLong);
  packet.image_BCHW = at::randint(256, {4, 3, 16, 16}, at::kByte).contiguous(at::MemoryFormat::ChannelsLast);
  return packet;
}

/// Stages that one thread runs one after another, with a snapshot plane between them.
class Pipeline {
 public:
  Pipeline(const std::vector<ModuleSpec>& modules, const std::vector<std::int64_t>& ends,
           const StageOptions& options, const SnapshotPolicy& policy = {}, bool lookahead = true)
      : plane_(policy, std::make_shared<SnapshotBoard>(policy.depth()), nullptr, Seconds(1)) {
    for (const StageSpec& spec : make_stage_specs(cut_into_stages(modules, ends), options.window, lookahead))
      stages_.emplace_back(spec, options, Initializer(1, at::kDouble));
    for (const Stage& stage : stages_) plane_.publish_first(stage, 0, {});
    for (Stage& stage : stages_)
      stage.observe_gradients(
          [this](const std::string& name, const at::Tensor& grad) { gradients_[name] = grad; });
  }
  Pipeline(const Pipeline&) = delete;
  Pipeline& operator=(const Pipeline&) = delete;

  /// One training step of all. @return the packet as it left.
  Packet step(Packet packet) {
    gradients_.clear();
    const std::int64_t step = packet.step;
    for (Stage& stage : stages_) {
      plane_.refresh(stage, step);
      packet = stage.process(std::move(packet));
      plane_.publish(stage, step + 1);
    }
    return packet;
  }

  std::vector<Stage>& stages() { return stages_; }
  /// Of the newest step, by the parameter's name.
  const Tensors& gradients() const { return gradients_; }

  /// Every tensor, by its name.
  Tensors tensors() const {
    Tensors all;
    for (const Stage& stage : stages_)
      for (const Stage::Part& part : stage.parts())
        for (const NamedTensor& entry : part.module.tensors()) all.emplace(entry.name, entry.tensor.detach());
    return all;
  }

 private:
  SnapshotPlane plane_;
  std::vector<Stage> stages_;
  Tensors gradients_;
};

/// The largest |a - b| / |b| of the tensors in `expected`. Some gradients are zero but for rounding (a bias
/// before a batch norm), so none is measured against less than a thousandth of all.
inline double largest_error(const Tensors& found, const Tensors& expected) {
  double squares = 0, worst = 0;
  for (const auto& [name, value] : expected) squares += value.detach().square().sum().item<double>();
  for (const auto& [name, value] : expected) {
    const double error = (found.at(name).detach() - value.detach()).norm().item<double>();
    worst =
        std::max(worst, error / std::max(value.detach().norm().item<double>(), 1e-3 * std::sqrt(squares)));
  }
  return worst;
}

}  // namespace lamina::tests
