#include "lamina/nn/partition.hpp"

#include <fmt/format.h>

#include <limits>
#include <numeric>

#include "cut_tables.hpp"
#include "lamina/core/error.hpp"

namespace lamina {
namespace {

// In a uniform cut the stem counts nothing: it belongs to module 0.
std::vector<double> block_costs(const Backbone& backbone, const std::string& balance) {
  std::vector<double> costs;
  for (const BlockSpec& block : backbone.blocks)
    costs.push_back(balance == "cost"       ? static_cast<double>(block.multiply_adds)
                    : block.id == BlockId{} ? 0.0
                                            : 1.0);
  return costs;
}

std::vector<std::int64_t> explicit_ends(const Backbone& backbone, const PartitionConfig& config) {
  std::vector<std::int64_t> ends;
  for (const std::vector<std::int64_t>& pair : config.ends) {
    const std::int64_t end = backbone.index_of(pair, "partition.ends");
    if (!ends.empty() && end <= ends.back())
      throw Error(ErrorKind::config,
                  fmt::format("partition.ends: expected ascending blocks, found {} after {}",
                              text(backbone.blocks[end].id), text(backbone.blocks[ends.back()].id)));
    ends.push_back(end);
  }
  if (!ends.empty() && ends.back() == static_cast<std::int64_t>(backbone.blocks.size()) - 1)
    throw Error(ErrorKind::config,
                fmt::format("partition.ends: the last module would be empty: {} is the network's "
                            "last block, and the last module's end is not listed",
                            text(backbone.blocks.back().id)));
  if (config.modules && *config.modules != static_cast<std::int64_t>(ends.size()) + 1)
    throw Error(ErrorKind::config,
                fmt::format("partition.modules: expected {} ({} ends and the network's own), found {}",
                            ends.size() + 1, ends.size(), *config.modules));
  return ends;
}

constexpr double infinity = std::numeric_limits<double>::infinity();

// A cut of some pieces into some parts.
struct Cut {
  double score = infinity;
  std::int64_t begin = 0;  // of its last part
};

// [p][i]: the cut of the first i pieces into p parts with the smallest score, by dynamic programming. `join`
// gives the score of parts from the score of all but the last and the last one's sum.
template <class Join>
std::vector<std::vector<Cut>> best_cuts(const std::vector<double>& prefix, std::int64_t parts,
                                        const Join& join) {
  const auto n = static_cast<std::int64_t>(prefix.size()) - 1;
  std::vector<std::vector<Cut>> best(parts + 1, std::vector<Cut>(n + 1));
  best[0][0].score = 0.0;
  for (std::int64_t p = 1; p <= parts; ++p)
    for (std::int64_t i = p; i <= n; ++i)
      for (std::int64_t j = p - 1; j < i; ++j) {
        const double score = join(best[p - 1][j].score, prefix[i] - prefix[j]);
        if (score < best[p][i].score) best[p][i] = {score, j};
      }
  return best;
}

}  // namespace

void PartitionConfig::visit(FieldVisitor& v) {
  v.field("modules", &modules,
          "K, the number of gradient-isolated modules; auto: every block (the stem with the first), or as "
          "`ends` says",
          at_least(1));
  v.field("ends", &ends, "last block [stage,block] of every module but the last; overrides `balance`");
  v.field("balance", &balance,
          "published cut where there is one, else uniform; or uniform blocks; or multiply-adds",
          one_of({"table", "uniform", "cost"}));
}

std::vector<std::int64_t> cut_into_modules(const Backbone& backbone, const PartitionConfig& config) {
  if (!config.ends.empty()) return explicit_ends(backbone, config);
  const auto num_blocks = static_cast<std::int64_t>(backbone.blocks.size());
  const std::int64_t modules = config.modules.value_or(backbone.num_blocks_behind_stem());
  if (modules > num_blocks)
    throw Error(ErrorKind::config,
                fmt::format("partition.modules: {} has {} blocks, so at most {} modules; found {}",
                            backbone.name, num_blocks, num_blocks, modules));
  if (config.balance == "table")
    if (const auto published = published_cut(backbone, modules)) return *published;
  return balanced_cut(block_costs(backbone, config.balance), modules);
}

std::vector<std::int64_t> balanced_cut(const std::vector<double>& costs, std::int64_t parts) {
  const auto n = static_cast<std::int64_t>(costs.size());
  if (parts < 1 || parts > n)
    throw Error(ErrorKind::config, fmt::format("cannot cut {} pieces into {} non-empty parts", n, parts));
  std::vector<double> prefix(n + 1, 0.0);
  std::partial_sum(costs.begin(), costs.end(), prefix.begin() + 1);

  // Two passes, since a beginning whose own largest part is not the smallest may still lead to the smallest
  // squares.
  const double largest =
      best_cuts(prefix, parts, [](double before, double part) { return std::max(before, part); })[parts][n]
          .score;
  const auto cuts = best_cuts(prefix, parts, [largest](double before, double part) {
    return part > largest ? infinity : before + part * part;
  });

  std::vector<std::int64_t> ends;
  for (std::int64_t p = parts, i = n; p > 1; --p) {
    i = cuts[p][i].begin;
    ends.insert(ends.begin(), i - 1);
  }
  return ends;
}

}  // namespace lamina
