#include "lamina/nn/leap.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "lamina/core/error.hpp"
#include "leap_tables.hpp"

namespace lamina {
namespace {

using LeapSet = std::vector<std::int64_t>;

constexpr const char* key = "method.mlaan.leaps";
constexpr std::size_t usual_leaps = 4;

// What an error of a module's list begins with.
std::string place(std::size_t module) {
  return fmt::format("{}: module {}", key, module);
}

// Shapes follow whatever early blocks are added, since no block that changes them is left out. The published
// sets do not take the block right behind another leap where the last stage has blocks enough.
LeapSet general_set(const Backbone& backbone, std::int64_t end) {
  const auto last = static_cast<std::int64_t>(backbone.blocks.size()) - 1;
  LeapSet set, early;
  for (std::int64_t b = end + 1; b < last; ++b) {
    const BlockSpec& block = backbone.blocks[b];
    if (block.in != block.out)
      set.push_back(b);
    else if (block.id.stage == backbone.blocks[last].id.stage)
      early.push_back(b);
  }
  set.push_back(last);
  const std::size_t room = usual_leaps - std::min(usual_leaps, set.size());
  const std::size_t skipped = early.size() > room ? 1 : 0;
  for (std::size_t i = skipped; i < std::min(early.size(), skipped + room); ++i) set.push_back(early[i]);
  std::sort(set.begin(), set.end());
  return set;
}

// @throws Error{config} unless this can be the leap set of the module that ends in block `end`.
void check(const Backbone& backbone, std::size_t module, std::int64_t end, const LeapSet& set) {
  const auto refuse = [&](const std::string& problem) {
    throw Error(ErrorKind::config, fmt::format("{}, which ends in {}: {}", place(module),
                                               text(backbone.blocks[end].id), problem));
  };
  if (set.empty()) refuse("expected at least one block, found none");
  std::int64_t before = end;
  for (const std::int64_t leap : set) {
    const BlockSpec& block = backbone.blocks[leap];
    const FeatureShape& given = backbone.blocks[before].out;
    if (leap <= end) refuse(fmt::format("expected blocks behind the module, found {}", text(block.id)));
    if (block.in != given)
      refuse(fmt::format("{0} takes {1}x{2}x{3} and cannot follow {4}, which gives {5}x{6}x{7}",
                         text(block.id), block.in.channels, block.in.height, block.in.width,
                         text(backbone.blocks[before].id), given.channels, given.height, given.width));
    before = leap;
  }
  if (set.back() != static_cast<std::int64_t>(backbone.blocks.size()) - 1)
    refuse(fmt::format("expected the network's last block {} at the end, found {}",
                       text(backbone.blocks.back().id), text(backbone.blocks[set.back()].id)));
}

std::vector<LeapSet> listed_sets(const Backbone& backbone, const std::vector<std::int64_t>& ends,
                                 const std::vector<IntLists>& lists) {
  if (lists.size() != ends.size())
    throw Error(ErrorKind::config,
                fmt::format("{}: expected {} lists, one for every module but the last, which has no LAM; "
                            "found {}",
                            key, ends.size(), lists.size()));
  std::vector<LeapSet> sets(lists.size());
  for (std::size_t i = 0; i < lists.size(); ++i) {
    for (const std::vector<std::int64_t>& pair : lists[i])
      sets[i].push_back(backbone.index_of(pair, place(i)));
    check(backbone, i, ends[i], sets[i]);
  }
  return sets;
}

}  // namespace

std::vector<LeapSet> leap_sets(const Backbone& backbone, const std::vector<std::int64_t>& ends,
                               const WordOrLists& leaps, bool release) {
  if (const auto* lists = std::get_if<std::vector<IntLists>>(&leaps))
    return listed_sets(backbone, ends, *lists);
  std::vector<LeapSet> sets;
  if (std::get<std::string>(leaps) == "next") {
    for (const std::int64_t end : ends) sets.push_back({end + 1});
  } else if (const auto published = published_leaps(backbone, ends, release)) {
    for (const std::vector<BlockId>& set : *published) {
      sets.emplace_back();
      for (const BlockId& id : set) sets.back().push_back(backbone.index_of(id));
    }
  } else {
    for (const std::int64_t end : ends) sets.push_back(general_set(backbone, end));
  }
  return sets;
}

}  // namespace lamina
