#include "leap_tables.hpp"

#include <string>

#include "cut_tables.hpp"

namespace lamina {
namespace {

using PublishedSet = std::vector<BlockId>;

// The set of the modules behind the run before this one, up to `last`.
struct Run {
  std::int64_t last;
  PublishedSet set;
};

struct PublishedLeaps {
  const char* backbone;
  std::int64_t modules;
  bool release_only;
  std::vector<Run> runs;
};

const std::vector<PublishedLeaps>& published_leap_table() {
  static const std::vector<PublishedLeaps> published = {
      {"resnet32",
       8,
       false,
       {{1, {{2, 0}, {3, 0}, {3, 2}, {3, 4}}},
        {2, {{2, 0}, {3, 0}, {3, 3}, {3, 4}}},
        {4, {{3, 0}, {3, 2}, {3, 3}, {3, 4}}},
        {5, {{3, 2}, {3, 3}, {3, 4}}},
        {6, {{3, 3}, {3, 4}}}}},
      {"resnet32",
       15,
       false,
       {{1, {{2, 0}, {3, 0}, {3, 2}, {3, 4}}},
        {2, {{2, 0}, {3, 0}, {3, 3}, {3, 4}}},
        {3, {{2, 0}, {3, 0}, {3, 2}, {3, 4}}},
        {4, {{2, 0}, {3, 0}, {3, 3}, {3, 4}}},
        {9, {{3, 0}, {3, 2}, {3, 3}, {3, 4}}},
        {10, {{3, 1}, {3, 2}, {3, 4}}},
        {11, {{3, 2}, {3, 3}, {3, 4}}},
        {12, {{3, 3}, {3, 4}}},
        {13, {{3, 4}}}}},
      {"resnet110",
       32,
       false,
       {{10, {{2, 0}, {3, 0}, {3, 2}, {3, 17}}},
        {20, {{3, 0}, {3, 2}, {3, 3}, {3, 17}}},
        {21, {{3, 0}, {3, 3}, {3, 4}, {3, 17}}},
        {25, {{3, 8}, {3, 17}}},
        {27, {{3, 14}, {3, 17}}},
        {28, {{3, 15}, {3, 17}}},
        {29, {{3, 16}, {3, 17}}},
        {30, {{3, 17}}}}},
      {"resnet110",
       54,
       false,
       {{17, {{2, 0}, {3, 0}, {3, 2}, {3, 17}}},
        {34, {{3, 0}, {3, 2}, {3, 3}, {3, 17}}},
        {35, {{3, 0}, {3, 3}, {3, 4}, {3, 17}}},
        {42, {{3, 8}, {3, 17}}},
        {46, {{3, 14}, {3, 17}}},
        {48, {{3, 15}, {3, 17}}},
        {51, {{3, 16}, {3, 17}}},
        {52, {{3, 17}}}}},
      {"resnet34",
       16,
       true,
       {{2, {{2, 0}, {2, 1}, {3, 0}, {4, 0}, {4, 2}}},
        {6, {{2, 1}, {3, 0}, {4, 0}, {4, 2}}},
        {12, {{3, 1}, {4, 0}, {4, 1}}},
        {13, {{4, 1}, {4, 1}, {4, 2}}},
        {14, {{4, 1}, {4, 2}}}}},
      {"resnet101",
       33,
       true,
       {{2, {{2, 0}, {3, 0}, {4, 0}, {4, 2}}},
        {6, {{3, 0}, {4, 0}, {4, 1}}},
        {29, {{4, 0}, {4, 1}}},
        {31, {{4, 1}, {4, 2}}}}},
      {"resnet152",
       50,
       true,
       {{2, {{2, 0}, {3, 0}, {4, 0}, {4, 2}}},
        {10, {{3, 0}, {4, 0}, {4, 1}}},
        {46, {{4, 0}, {4, 1}}},
        {48, {{4, 1}, {4, 2}}}}},
  };
  return published;
}

}  // namespace

std::optional<std::vector<PublishedSet>> published_leaps(const Backbone& backbone,
                                                         const std::vector<std::int64_t>& ends,
                                                         bool release) {
  const auto modules = static_cast<std::int64_t>(ends.size()) + 1;
  for (const PublishedLeaps& row : published_leap_table()) {
    if (backbone.name != row.backbone || modules != row.modules || (row.release_only && !release)) continue;
    if (published_cut(backbone, modules) != ends) continue;
    std::vector<PublishedSet> sets;
    for (const Run& run : row.runs) sets.resize(run.last + 1, run.set);
    return sets;
  }
  return std::nullopt;
}

}  // namespace lamina
