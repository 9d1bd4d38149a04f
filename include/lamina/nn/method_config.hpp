#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lamina/core/config.hpp"

namespace lamina {

/// `method.mlaan`; docs/method.md, MLAAN, and what follows it there.
struct MlaanConfig {
  std::int64_t window = 3;          ///< k: modules that one cascaded loss trains
  double momentum = 0.995;          ///< of the EMAs
  double wx = 0.001;                ///< weight of the independent losses; 0: there are none
  double wy = 0.999;                ///< weight of the cascaded losses; 0: there are none
  std::string ema_depth = "first";  ///< first | all
  std::string lam_on = "cascaded";  ///< cascaded | independent | none (MLM alone)
  /// auto: the published sets, or the rule where none are published; next: the first block of the next
  /// module, as MAN has it; or a list of blocks [stage,block] for every module but the last.
  WordOrLists leaps = std::string("auto");
  bool scale = false;                       ///< MAN++: y = s*aug + (2-s)*ema with s trained
  std::string across_stages = "lookahead";  ///< lookahead | stop
  bool looks_ahead() const { return across_stages == "lookahead"; }
  void visit(FieldVisitor& v);
};

/// `method.infopro`: weights of the reconstruction (l1) and of the task (l2), linear from module 0 to K-2; of
/// man, man++ and hpff as well.
struct InfoProConfig {
  double l1_first = 5;
  double l1_last = 0;
  double l2_first = 0.5;
  double l2_last = 0;
  std::string task = "softmax";  ///< softmax | contrast (among the samples of a batch)
  void visit(FieldVisitor& v);
};

/// How modules are trained, as data.
struct MethodConfig {
  std::string framework = "dgl";
  std::string head = "auto";    ///< of classification; auto: the framework's own (always: predsim, auglocal)
  std::string compat = "none";  ///< none | release (docs/method.md, Paper and released code)
  bool use_mlaan = false;
  MlaanConfig mlaan{};
  InfoProConfig infopro{};
  double predsim_balance = 0.99;    ///< b: weight of the similarity loss, 1-b that of the prediction's
  std::int64_t auglocal_depth = 4;  ///< d: blocks of the first module's chain
  double auglocal_taper = 0.5;      ///< c: the last module that has a chain has d*(1-c) + c blocks
  void visit(FieldVisitor& v);
};

/// The windows and leaps that a method trains with: its `mlaan` section; what the siblings man, man++ and
/// hpff are made of; or, for a plain framework, independent losses of weight 1 alone.
/// @throws Error{config} for a section that a sibling leaves no room for, or weights that are both 0.
MlaanConfig resolve_mlaan(const MethodConfig& method);

/// What is set and changes nothing, beside what else is set: a line each, for people.
std::vector<std::string> passed_over(const MethodConfig& method);

}  // namespace lamina
