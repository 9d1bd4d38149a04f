#include "lamina/nn/method_config.hpp"

#include <fmt/format.h>

#include <tuple>
#include <utility>

#include "lamina/core/error.hpp"
#include "lamina/nn/framework.hpp"

namespace lamina {
namespace {

// The siblings are MLAAN's parts put together otherwise (docs/method.md, Heads and losses).
struct Sibling {
  const char* framework;
  std::int64_t window;
  double wx;
  double wy;
  const char* lam_on;
  bool scale;
};
constexpr Sibling siblings[] = {
    {"man", 1, 1, 0, "independent", false},
    {"man++", 1, 1, 0, "independent", true},
    {"hpff", 2, 1, 1, "none", false},
};

}  // namespace

void MlaanConfig::visit(FieldVisitor& v) {
  v.field("window", &window, "k, the modules that one cascaded loss trains", at_least(1));
  v.field("momentum", &momentum, "of the EMAs of later blocks", between(0, 1));
  v.field("wx", &wx, "weight of the independent losses; 0: none", at_least(0));
  v.field("wy", &wy, "weight of the cascaded losses; 0: none", at_least(0));
  v.field("ema_depth", &ema_depth, "leap blocks that have an EMA beside their copy",
          one_of({"first", "all"}));
  v.field("lam_on", &lam_on, "branch that goes through the LAM; none: keeps the windows and drops the LAMs",
          one_of({"cascaded", "independent", "none"}));
  v.field("leaps", &leaps,
          "blocks of each LAM: auto, next (as MAN), or a list of [stage,block] for every module but the last",
          one_of({"auto", "next"}));
  v.field("scale", &scale, "balance copy and EMA by a trained scalar, as MAN++");
  v.field("across_stages", &across_stages,
          "windows over a stage's end: evaluated on shadows of the next stages, or cut off",
          one_of({"lookahead", "stop"}));
}

void InfoProConfig::visit(FieldVisitor& v) {
  v.field("l1_first", &l1_first, "weight of the reconstruction at module 0", at_least(0));
  v.field("l1_last", &l1_last, "and at module K-2; linear between", at_least(0));
  v.field("l2_first", &l2_first, "weight of the task's loss at module 0", at_least(0));
  v.field("l2_last", &l2_last, "and at module K-2; linear between", at_least(0));
  v.field("task", &task, "the task's loss", one_of({"softmax", "contrast"}));
}

void MethodConfig::visit(FieldVisitor& v) {
  std::vector<std::string> heads = head_names();
  heads.insert(heads.begin(), "auto");
  v.field("framework", &framework,
          "how modules are trained; e2e: by the last one's loss alone, ordinary training",
          one_of(framework_names()));
  v.field("head", &head, "classification head of the auxiliary branches; auto: the framework's own",
          one_of(heads));
  v.field("compat", &compat, "release: differ from the paper as the released CIFAR code does",
          one_of({"none", "release"}));
  v.optional_section("mlaan", mlaan, use_mlaan);
  v.section("infopro", infopro);
  v.field("predsim_balance", &predsim_balance, "weight of the similarity loss against the prediction's",
          between(0, 1));
  v.field("auglocal_depth", &auglocal_depth, "blocks of the first module's auxiliary chain", at_least(1));
  v.field("auglocal_taper", &auglocal_taper, "how much shorter the last module's chain is", between(0, 1));
}

MlaanConfig resolve_mlaan(const MethodConfig& method) {
  MlaanConfig resolved = method.mlaan;
  for (const Sibling& sibling : siblings) {
    if (method.framework != sibling.framework) continue;
    if (method.use_mlaan)
      throw Error(
          ErrorKind::config,
          fmt::format("method.mlaan: expected none beside framework {}, which is a configuration of the "
                      "same parts, found a section",
                      method.framework));
    resolved.window = sibling.window;
    resolved.wx = sibling.wx;
    resolved.wy = sibling.wy;
    resolved.lam_on = sibling.lam_on;
    resolved.scale = sibling.scale;
    resolved.leaps = std::string("next");
    return resolved;
  }
  if (!method.use_mlaan) {
    resolved.window = 1;
    resolved.wx = 1;
    resolved.wy = 0;
    resolved.lam_on = "none";
    return resolved;
  }
  if (resolved.wx + resolved.wy <= 0)
    throw Error(ErrorKind::config, "method.mlaan: expected wx or wy above 0, found both 0");
  return resolved;
}

std::vector<std::string> passed_over(const MethodConfig& method) {
  if (!method.use_mlaan) return {};
  if (method.framework == "e2e")
    return {"method.mlaan: framework e2e makes nothing of it but a weight of its loss, wx + wy"};
  const MlaanConfig& mlaan = method.mlaan;
  std::vector<std::string> lines;
  for (const auto& [branch, weight, key] :
       {std::tuple{"independent", mlaan.wx, "wx"}, std::tuple{"cascaded", mlaan.wy, "wy"}})
    if (mlaan.lam_on == branch && weight == 0)
      lines.push_back(fmt::format("method.mlaan.lam_on: there are no LAMs, as {} is 0", key));
  const MlaanConfig usual;
  for (const auto& [key, is_set] :
       {std::pair{"leaps", mlaan.leaps != usual.leaps},
        std::pair{"ema_depth", mlaan.ema_depth != usual.ema_depth}, std::pair{"scale", mlaan.scale}})
    if (is_set && mlaan.lam_on == "none")
      lines.push_back(fmt::format("method.mlaan.{}: says nothing, as lam_on is none", key));
  return lines;
}

}  // namespace lamina
