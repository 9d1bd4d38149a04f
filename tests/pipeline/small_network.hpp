#pragma once

#include <ATen/ATen.h>

#include "lamina/nn/module.hpp"
#include "lamina/nn/partition.hpp"
#include "lamina/pipeline/packet.hpp"

namespace lamina::tests {

/// A ResNet-8 on 8x8 images, cut into its four blocks: small enough for a test, with every kind of block.
inline std::vector<ModuleSpec> small_modules(const std::string& head = "mlp_sr") {
  const Backbone net = make_backbone({.backbone = "resnet8"}, {3, 8, 8}, 10);
  return make_modules(net, cut_into_modules(net, {.modules = 4}), {.framework = "greedy", .head = head});
}

/// The same modules under MLAAN with windows of 3.
inline std::vector<ModuleSpec> small_mlaan_modules(const std::string& norm = "batch") {
  const Backbone net = make_backbone({.backbone = "resnet8", .norm = norm}, {3, 8, 8}, 10);
  return make_modules(net, cut_into_modules(net, {.modules = 4}),
                      {.framework = "greedy", .use_mlaan = true, .mlaan = {.wx = 0.3, .wy = 0.7}});
}

/// The same blocks trained end to end, in as many modules.
inline std::vector<ModuleSpec> small_end_to_end_modules(const std::string& norm = "none",
                                                        std::int64_t modules = 4) {
  const Backbone net = make_backbone({.backbone = "resnet8", .norm = norm}, {3, 8, 8}, 10);
  return make_modules(net, cut_into_modules(net, {.modules = modules}), {.framework = "e2e"});
}

inline Packet train_packet(std::int64_t step, std::int64_t batch, at::ScalarType dtype = at::kFloat) {
  at::manual_seed(1000 + step);
  Packet packet;
  packet.step = step;
  packet.lr = 0.1;
  packet.batch = batch;
  packet.x_BCHW = at::randn({batch, 3, 8, 8}, dtype).contiguous(at::MemoryFormat::ChannelsLast);
  packet.y_B = at::randint(10, {batch}, at::kLong);
  return packet;
}

}  // namespace lamina::tests
