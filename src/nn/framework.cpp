#include "lamina/nn/framework.hpp"

#include <fmt/format.h>

#include <map>

#include "classification_head.hpp"
#include "lamina/core/error.hpp"

namespace lamina {
namespace {

// A framework is what its heads are made of.
struct Framework {
  const char* head;  // its own classification head
};

const std::map<std::string, Framework>& frameworks() {
  static const std::map<std::string, Framework> table = {
      {"dgl", {"dgl"}}, {"e2e", {"linear"}}, {"greedy", {"linear"}}};
  return table;
}

}  // namespace

std::vector<std::string> framework_names() {
  std::vector<std::string> names;
  for (const auto& [name, framework] : frameworks()) names.push_back(name);
  return names;
}

HeadSpec make_head(const MethodConfig& method, const HeadPlace& place) {
  const std::string name = method.head == "auto" ? frameworks().at(method.framework).head : method.head;
  return {.name = name,
          .terms = {{.layers = classification_layers(name, place.in, place.backbone.num_classes)}}};
}

HeadSpec classifier_head(const Backbone& backbone) {
  return {.name = "classifier", .terms = {{.layers = backbone.classifier}}};
}

}  // namespace lamina
