#include <algorithm>
#include <string>
#include <vector>

#include "core/config_value.hpp"

namespace lamina {
namespace {

class Lister final : public FieldVisitor {
 public:
  explicit Lister(std::vector<EffectiveField>& fields) : fields_(&fields) {}

  void field(std::string_view key, FieldRef value, std::string_view help, const Rule&) override {
    fields_->push_back({prefix_ + std::string(key), value_text(value), std::string(help)});
  }

  void enter(std::string_view key) override {
    lengths_.push_back(prefix_.size());
    prefix_ += std::string(key) + ".";
  }

  bool enter_optional(std::string_view key, bool& present) override {
    if (!present) fields_->push_back({prefix_ + std::string(key), "none", "a section that is not there"});
    enter(key);
    return present;
  }

  void leave() override {
    prefix_.resize(lengths_.back());
    lengths_.pop_back();
  }

 private:
  std::vector<EffectiveField>* fields_;
  std::string prefix_;
  std::vector<std::size_t> lengths_;  ///< of the prefix, outside each section entered
};

/// "a.b.c" is the path {"a", "b", "c"}.
std::vector<std::string> path_of(const std::string& key) {
  std::vector<std::string> path;
  std::size_t begin = 0;
  for (std::size_t dot = key.find('.'); dot != key.npos; dot = key.find('.', begin)) {
    path.push_back(key.substr(begin, dot - begin));
    begin = dot + 1;
  }
  path.push_back(key.substr(begin));
  return path;
}

}  // namespace

std::unique_ptr<FieldVisitor> detail::make_lister(std::vector<EffectiveField>& fields) {
  return std::make_unique<Lister>(fields);
}

std::string to_yaml(const std::vector<EffectiveField>& fields) {
  std::string text;
  std::vector<std::string> open;  // sections
  for (const EffectiveField& field : fields) {
    std::vector<std::string> path = path_of(field.key);
    const std::string key = path.back();
    path.pop_back();
    const auto shared =
        std::mismatch(open.begin(), open.end(), path.begin(), path.end()).second - path.begin();
    for (std::size_t depth = static_cast<std::size_t>(shared); depth < path.size(); ++depth) {
      text += std::string(2 * depth, ' ') + path[depth] + ":\n";
    }
    text += std::string(2 * path.size(), ' ') + key + ": " + field.value + "\n";
    open = std::move(path);
  }
  return text;
}

}  // namespace lamina
