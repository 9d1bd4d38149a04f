#include "cut_tables.hpp"

#include <numeric>
#include <string>

namespace lamina {
namespace {

struct PublishedCut {
  const char* backbone;
  std::int64_t modules;
  std::vector<BlockId> ends;
};

// The same blocks b of several stages.
std::vector<BlockId> repeated(
    std::initializer_list<std::pair<std::int64_t, std::vector<std::int64_t>>> stages) {
  std::vector<BlockId> ends;
  for (const auto& [stage, blocks] : stages)
    for (const std::int64_t block : blocks) ends.push_back({stage, block});
  return ends;
}

const std::vector<PublishedCut>& published_cuts() {
  static const std::vector<std::int64_t> wide = {1, 2, 4, 5, 7, 9, 11, 13, 14, 16, 17};
  static const std::vector<PublishedCut> cuts = {
      {"resnet32", 2, {{2, 1}}},
      {"resnet32", 3, {{1, 4}, {2, 4}}},
      {"resnet32", 4, {{1, 2}, {2, 1}, {3, 0}}},
      {"resnet32", 8, {{1, 0}, {1, 2}, {1, 4}, {2, 1}, {2, 3}, {3, 0}, {3, 2}}},
      {"resnet110", 2, {{2, 8}}},
      {"resnet110", 3, {{1, 17}, {2, 17}}},
      {"resnet110", 4, {{1, 11}, {2, 7}, {3, 3}}},
      {"resnet110", 8, {{1, 4}, {1, 11}, {2, 0}, {2, 7}, {2, 14}, {3, 3}, {3, 10}}},
      {"resnet110", 16, repeated({{1, {1, 4, 7, 10, 13, 16}}, {2, {1, 4, 7, 11, 15}}, {3, {1, 5, 9, 13}}})},
      {"resnet110", 32, repeated({{1, wide}, {2, wide}, {3, {1, 3, 4, 6, 7, 9, 11, 13, 15}}})},
      // K=4 of the ResNet-101 is MAN++'s; HPFF's [3,0][3,9][3,17] has to be listed in `ends`. K=8 is HPFF's.
      {"resnet101", 2, {{2, 0}}},
      {"resnet101", 4, {{2, 2}, {3, 8}, {3, 16}}},
      {"resnet101", 8, {{2, 0}, {3, 1}, {3, 5}, {3, 9}, {3, 13}, {3, 17}, {3, 21}}},
      {"resnet152", 2, {{2, 5}}},
      {"resnet152", 4, {{2, 6}, {3, 13}, {3, 25}}},
      {"resnext101_32x8d", 2, {{2, 2}}},
      {"resnext101_32x8d", 4, {{2, 2}, {3, 8}, {3, 16}}},
  };
  return cuts;
}

}  // namespace

std::optional<std::vector<std::int64_t>> published_cut(const Backbone& backbone, std::int64_t modules) {
  const auto num_blocks = static_cast<std::int64_t>(backbone.blocks.size());
  std::vector<std::int64_t> ends;
  // "Every block": each block a module, with the stem a module of its own (K = blocks) or with the first
  // block.
  if (modules >= backbone.num_blocks_behind_stem() && modules > 1) {
    for (std::int64_t i = num_blocks - modules; i < num_blocks - 1; ++i) ends.push_back(i);
    return ends;
  }
  for (const PublishedCut& cut : published_cuts())
    if (backbone.name == cut.backbone && modules == cut.modules) {
      for (const BlockId& id : cut.ends) ends.push_back(backbone.index_of(id));
      return ends;
    }
  return std::nullopt;
}

}  // namespace lamina
