#include "lamina/nn/framework.hpp"

#include <fmt/format.h>

#include <cmath>
#include <map>

#include "auglocal_head.hpp"
#include "classification_head.hpp"
#include "decoder_head.hpp"
#include "lamina/core/error.hpp"

namespace lamina {
namespace {

constexpr std::int64_t predsim_inputs = 4096;

const FeatureShape& image_of(const HeadPlace& place) {
  return place.backbone.blocks.front().in;
}

// `classifier` is the name of a classification head, where the framework has one.
HeadSpec classification(const MethodConfig&, const HeadPlace& place, const std::string& classifier) {
  return {.name = classifier,
          .terms = {{.layers = classification_layers(classifier, place.in, place.backbone.num_classes,
                                                     image_of(place))}}};
}

// A weight that changes evenly from the first module to the last that has a head.
double weight_at(const HeadPlace& place, double first, double last) {
  const std::int64_t steps = place.num_modules - 2;
  return steps < 1 ? first
                   : std::lerp(first, last, static_cast<double>(place.module) / static_cast<double>(steps));
}

HeadSpec task_and_decoder(const MethodConfig& method, const HeadPlace& place, const std::string& classifier,
                          bool by_quarters) {
  const InfoProConfig& infopro = method.infopro;
  const bool contrast = infopro.task == "contrast";
  const std::int64_t outputs = contrast ? contrast_features : place.backbone.num_classes;
  HeadSpec head{.name = classifier + (by_quarters ? " and 4 decoders" : " and decoder")};
  head.terms.push_back({.name = "task.",
                        .loss = contrast ? LossKind::contrast : LossKind::cross_entropy,
                        .weight = weight_at(place, infopro.l2_first, infopro.l2_last),
                        .layers = classification_layers(classifier, place.in, outputs, image_of(place))});
  for (HeadTerm& term :
       decoder_terms(place, weight_at(place, infopro.l1_first, infopro.l1_last), by_quarters))
    head.terms.push_back(std::move(term));
  return head;
}

HeadSpec with_decoder(const MethodConfig& method, const HeadPlace& place, const std::string& classifier) {
  return task_and_decoder(method, place, classifier, false);
}

HeadSpec with_four_decoders(const MethodConfig& method, const HeadPlace& place,
                            const std::string& classifier) {
  return task_and_decoder(method, place, classifier, true);
}

HeadSpec predsim(const MethodConfig& method, const HeadPlace& place, const std::string&) {
  const FeatureShape& in = place.in;
  std::int64_t kernel = 1;
  while (in.channels * (in.height / kernel) * (in.width / kernel) > predsim_inputs) kernel *= 2;
  const std::int64_t num_classes = place.backbone.num_classes;
  return {.name = "predsim",
          .terms = {{.name = "predict.",
                     .weight = 1 - method.predsim_balance,
                     .layers = {{AvgPool{kernel}}, {Flatten{}}, {Linear{num_classes, true}, "fc"}}},
                    {.name = "similarity.",
                     .loss = LossKind::similarity,
                     .weight = method.predsim_balance,
                     .layers = {{Conv{in.channels, 3, 1, 1}, "conv"}},
                     .num_classes = num_classes}}};
}

HeadSpec auglocal(const MethodConfig& method, const HeadPlace& place, const std::string&) {
  return {.name = "auglocal", .terms = {auglocal_term(method, place)}};
}

// A framework is what its heads are made of.
struct Framework {
  HeadSpec (*make)(const MethodConfig&, const HeadPlace&, const std::string& classifier);
  const char* classifier = nullptr;  // its own classification head, if `method.head` may replace it
};

const std::map<std::string, Framework>& frameworks() {
  static const std::map<std::string, Framework> table = {
      {"auglocal", {auglocal}},
      {"dgl", {classification, "dgl"}},
      {"e2e", {classification, "linear"}},
      {"greedy", {classification, "linear"}},
      {"hpff", {with_four_decoders, "1c2f"}},
      {"infopro", {with_decoder, "1c2f"}},
      {"man", {with_decoder, "1c2f"}},
      {"man++", {with_decoder, "1c2f"}},
      {"predsim", {predsim}},
  };
  return table;
}

}  // namespace

std::vector<std::string> framework_names() {
  std::vector<std::string> names;
  for (const auto& [name, framework] : frameworks()) names.push_back(name);
  return names;
}

HeadSpec make_head(const MethodConfig& method, const HeadPlace& place) {
  const Framework& framework = frameworks().at(method.framework);
  const bool own = method.head == "auto";
  if (!framework.classifier && !own)
    throw Error(ErrorKind::config,
                fmt::format("method.head: expected auto, since {} has a head of its own kind, found \"{}\"",
                            method.framework, method.head));
  return framework.make(method, place, !own ? method.head : framework.classifier ? framework.classifier : "");
}

HeadSpec classifier_head(const Backbone& backbone) {
  return {.name = "classifier", .terms = {{.layers = backbone.classifier}}};
}

}  // namespace lamina
