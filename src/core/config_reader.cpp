#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

#include "core/config_entry.hpp"
#include "core/config_value.hpp"

namespace lamina {
namespace {

/// Fills fields from the entries of a text, and reports the entries that no field asked for.
class Reader final : public FieldVisitor {
 public:
  Reader(const Entry& root, Problems& problems) : problems_(&problems) { open_.push_back({.entry = &root}); }

  void field(std::string_view key, FieldRef value, std::string_view, const Rule& rule) override {
    const Entry* entry = ask(key);
    if (!entry) return;
    if (const auto problem = read_value(entry->value, value, rule)) problems_->add(dotted(key), *problem);
  }

  void enter(std::string_view key) override {
    const Entry* entry = ask(key);
    if (entry && !entry->is_section()) {
      problems_->add(dotted(key), fmt::format("expected a section, found {}", describe(entry->value)));
      entry = nullptr;
    }
    open_.push_back({.entry = entry, .prefix = dotted(key) + "."});
  }

  bool enter_optional(std::string_view key, bool& present) override {
    const Entry* entry = ask(key);
    const bool none = entry && entry->value.IsScalar() && entry->value.Scalar() == "none";
    if (none) present = false;
    if (entry && entry->is_section()) present = true;
    if (entry && !none && !entry->is_section())
      problems_->add(dotted(key),
                     fmt::format("expected a section, or none, found {}", describe(entry->value)));
    open_.push_back({.entry = entry && entry->is_section() ? entry : nullptr, .prefix = dotted(key) + "."});
    return open_.back().entry != nullptr;
  }

  void leave() override {
    report_unasked();
    open_.pop_back();
  }

 private:
  struct Section {
    const Entry* entry = nullptr;  ///< null if the text has no such section
    std::string prefix{};
    std::vector<std::string> keys{};  ///< that fields asked for
  };

  std::string dotted(std::string_view key) const { return open_.back().prefix + std::string(key); }

  const Entry* ask(std::string_view key) {
    Section& section = open_.back();
    section.keys.emplace_back(key);
    return section.entry ? section.entry->find(key) : nullptr;
  }

  void report_unasked() {
    const Section& section = open_.back();
    if (!section.entry) return;
    for (const Entry& entry : section.entry->entries) {
      if (std::ranges::count(section.keys, entry.key) == 0)
        problems_->add(dotted(entry.key), "unknown key" + did_you_mean(entry.key, section.keys));
    }
  }

  Problems* problems_;
  std::vector<Section> open_;  ///< the root and the sections entered
};

}  // namespace

std::unique_ptr<FieldVisitor> ConfigText::make_reader(Problems& problems) {
  return std::make_unique<Reader>(state_->root, problems);
}

void ConfigText::finish(FieldVisitor& reader) {
  static_cast<Reader&>(reader).leave();
}

}  // namespace lamina
