#include "lamina/nn/backbone.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <charconv>
#include <functional>
#include <map>

#include "backbone_families.hpp"
#include "lamina/core/error.hpp"
#include "strip_norm.hpp"

namespace lamina {
namespace {

const std::map<std::string, std::function<BackbonePlan()>>& torchvision_nets() {
  static const std::map<std::string, std::function<BackbonePlan()>> nets = {
      {"resnet34", [] { return imagenet_resnet({.blocks = {3, 4, 6, 3}, .bottleneck = false}); }},
      {"resnet50", [] { return imagenet_resnet({.blocks = {3, 4, 6, 3}}); }},
      {"resnet101", [] { return imagenet_resnet({.blocks = {3, 4, 23, 3}}); }},
      {"resnet152", [] { return imagenet_resnet({.blocks = {3, 8, 36, 3}}); }},
      {"resnext101_32x8d",
       [] { return imagenet_resnet({.blocks = {3, 4, 23, 3}, .groups = 32, .widening = 4}); }},
      {"vgg13_bn", [] { return vgg_bn({2, 2, 2, 2, 2}); }},
      {"vgg19_bn", [] { return vgg_bn({2, 2, 4, 4, 4}); }},
  };
  return nets;
}

std::vector<std::string> torchvision_names() {
  std::vector<std::string> names;
  for (const auto& [name, make] : torchvision_nets()) names.push_back(name);
  return names;
}

[[noreturn]] void refuse(const std::string& name) {
  std::vector<std::string> known = torchvision_names();
  for (const int layers : {8, 14, 20, 26, 32, 38, 44, 56, 110}) {
    known.push_back(fmt::format("resnet{}", layers));
    known.push_back(fmt::format("cifar-resnet{}", layers));
  }
  const auto meant = nearest(name, known);
  throw Error(
      ErrorKind::config,
      fmt::format("model.backbone: expected resnetN with N = 6n+2 for CIFAR (resnet8, 14, 20, 32, 44, "
                  "56, 110, ...; cifar-resnet50, cifar-resnet152) or one of {}, found \"{}\"{}",
                  fmt::join(torchvision_names(), ", "), name,
                  meant ? fmt::format("; did you mean \"{}\"?", *meant) : ""));
}

// N of a CIFAR net's name, "resnetN" or "cifar-resnetN". A name has one way to be written, so that tables and
// checkpoints know it again.
std::int64_t cifar_layers(const std::string& name) {
  const std::size_t begin = name.find_first_of("0123456789");
  if (begin == std::string::npos) refuse(name);
  const std::string family = name.substr(0, begin);
  std::int64_t layers = 0;
  const char* end = name.data() + name.size();
  const auto [stop, error] = std::from_chars(name.data() + begin, end, layers);
  const bool known = (family == "resnet" || family == "cifar-resnet") && name[begin] != '0';
  if (!known || error != std::errc() || stop != end || layers < 8 || layers % 6 != 2) refuse(name);
  return layers;
}

// The plan, under the net's canonical name.
std::pair<std::string, BackbonePlan> plan_of(const std::string& name) {
  const auto& nets = torchvision_nets();
  if (const auto net = nets.find(name); net != nets.end()) return {name, net->second()};
  const std::int64_t layers = cifar_layers(name);
  const std::int64_t n = (layers - 2) / 6;
  const std::string shorter = fmt::format("resnet{}", layers);
  return {nets.contains(shorter) ? "cifar-" + shorter : shorter,
          cifar_resnet({.blocks = {n, n, n}, .bottleneck = false})};
}

}  // namespace

BlockSpec finished(BlockSpec block, const FeatureShape& in) {
  const LayerCost body = cost(block.body, in);
  const LayerCost shortcut = cost(block.shortcut, in);
  block.in = in;
  block.out = body.out;
  block.parameters = body.parameters + shortcut.parameters;
  block.multiply_adds = body.multiply_adds + shortcut.multiply_adds;
  return block;
}

std::string text(const BlockId& id) {
  return fmt::format("[{},{}]", id.stage, id.block);
}

void ModelConfig::visit(FieldVisitor& v) {
  v.field("backbone", &backbone,
          fmt::format("for CIFAR resnetN, N = 6n+2: resnet20, 32, 44, 56, 110, ... (cifar-resnet50, "
                      "cifar-resnet152); for ImageNet {}",
                      fmt::join(torchvision_names(), ", ")));
  v.field("classes", &classes, "classes to tell apart; 0: as the data set has", at_least(0));
  v.field("init", &init, "safetensors file with weights to begin with, by torchvision's names; empty: none");
  v.field("norm", &norm, "batch norm, or none at all", one_of({"batch", "none"}));
}

std::int64_t Backbone::index_of(const BlockId& id) const {
  for (std::size_t i = 0; i < blocks.size(); ++i)
    if (blocks[i].id == id) return static_cast<std::int64_t>(i);
  throw Error(ErrorKind::config, fmt::format("{} has no block {}; its blocks are {} to {}", name, text(id),
                                             text(blocks.front().id), text(blocks.back().id)));
}

std::int64_t Backbone::index_of(const std::vector<std::int64_t>& pair, std::string_view place) const try {
  if (pair.size() != 2)
    throw Error(ErrorKind::config,
                fmt::format("expected blocks as [stage,block], found [{}]", fmt::join(pair, ",")));
  return index_of(BlockId{pair[0], pair[1]});
} catch (const Error& error) {
  throw Error(error.kind(), fmt::format("{}: {}", place, error.what()));
}

std::int64_t Backbone::num_blocks_behind_stem() const {
  const bool stem = blocks.front().id == BlockId{};
  return static_cast<std::int64_t>(blocks.size()) - (stem ? 1 : 0);
}

Backbone make_backbone(const ModelConfig& config, const FeatureShape& image, std::int64_t num_classes) {
  auto [name, plan] = plan_of(config.backbone);
  Backbone net{.name = name, .num_classes = num_classes, .normalised = config.norm == "batch"};
  FeatureShape shape = image;
  for (BlockSpec& block : plan.blocks) {
    if (!net.normalised) {
      block.body = strip_norm(block.body);
      block.shortcut = strip_norm(block.shortcut);
    }
    net.blocks.push_back(finished(std::move(block), shape));
    shape = net.blocks.back().out;
  }
  net.classifier = plan.classifier(shape, num_classes);
  return net;
}

}  // namespace lamina
