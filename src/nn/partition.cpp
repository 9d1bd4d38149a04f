#include "lamina/nn/partition.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

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
    costs.push_back(balance == "cost" ? static_cast<double>(block.multiply_adds) : block.id == BlockId{} ? 0.0 : 1.0);
  return costs;
}

std::vector<std::int64_t> explicit_ends(const Backbone& backbone, const PartitionConfig& config) {
  std::vector<std::int64_t> ends;
  for (const std::vector<std::int64_t>& pair : config.ends) {
    if (pair.size() != 2)
      throw Error(ErrorKind::config,
                  fmt::format("partition.ends: expected blocks as [stage,block], found [{}]", fmt::join(pair, ",")));
    const BlockId id{pair[0], pair[1]};
    const std::int64_t end = backbone.index_of(id);
    if (!ends.empty() && end <= ends.back())
      throw Error(ErrorKind::config, fmt::format("partition.ends: expected ascending blocks, found {} after {}",
                                                 text(id), text(backbone.blocks[ends.back()].id)));
    ends.push_back(end);
  }
  if (!ends.empty() && ends.back() == static_cast<std::int64_t>(backbone.blocks.size()) - 1)
    throw Error(ErrorKind::config, fmt::format("partition.ends: the last module would be empty: {} is the network's "
                                               "last block, and the last module's end is not listed",
                                               text(backbone.blocks.back().id)));
  if (config.modules && *config.modules != static_cast<std::int64_t>(ends.size()) + 1)
    throw Error(ErrorKind::config, fmt::format("partition.modules: expected {} ({} ends and the network's own), found {}",
                                               ends.size() + 1, ends.size(), *config.modules));
  return ends;
}

}  // namespace

void PartitionConfig::visit(FieldVisitor& v) {
  v.field("modules", &modules, "K, the number of gradient-isolated modules; auto: every block (the stem with the first), or as `ends` says",
          at_least(1));
  v.field("ends", &ends, "last block [stage,block] of every module but the last; overrides `balance`");
  v.field("balance", &balance, "published cut where there is one, else uniform; or uniform blocks; or multiply-adds",
          one_of({"table", "uniform", "cost"}));
}

std::vector<std::int64_t> cut_into_modules(const Backbone& backbone, const PartitionConfig& config) {
  if (!config.ends.empty()) return explicit_ends(backbone, config);
  const auto num_blocks = static_cast<std::int64_t>(backbone.blocks.size());
  const std::int64_t modules = config.modules.value_or(num_blocks - 1);
  if (modules > num_blocks)
    throw Error(ErrorKind::config, fmt::format("partition.modules: {} has {} blocks, so at most {} modules; found {}",
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

  // best[p][i]: (largest part, sum of squares) of the first i pieces in p parts, by dynamic programming.
  using Score = std::pair<double, double>;
  const Score worst{std::numeric_limits<double>::infinity(), 0.0};
  std::vector<std::vector<Score>> best(parts + 1, std::vector<Score>(n + 1, worst));
  std::vector<std::vector<std::int64_t>> cut(parts + 1, std::vector<std::int64_t>(n + 1, 0));
  best[0][0] = {0.0, 0.0};
  for (std::int64_t p = 1; p <= parts; ++p)
    for (std::int64_t i = p; i <= n; ++i)
      for (std::int64_t j = p - 1; j < i; ++j) {
        const double part = prefix[i] - prefix[j];
        const Score score{std::max(best[p - 1][j].first, part), best[p - 1][j].second + part * part};
        if (score < best[p][i]) {
          best[p][i] = score;
          cut[p][i] = j;
        }
      }

  std::vector<std::int64_t> ends;
  for (std::int64_t p = parts, i = n; p > 1; --p) {
    i = cut[p][i];
    ends.insert(ends.begin(), i - 1);
  }
  return ends;
}

}  // namespace lamina
