#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace lamina {

/// "auto" in YAML is the empty optional.
using IntOrAuto = std::optional<std::int64_t>;
/// A number N, or an explicit list.
using IntOrList = std::variant<std::int64_t, std::vector<std::int64_t>>;
/// A list of lists, e.g. the module ends [[1,0],[1,2]].
using IntLists = std::vector<std::vector<std::int64_t>>;

/// A word, or a list of such lists.
using WordOrLists = std::variant<std::string, std::vector<IntLists>>;

/// A reference to a field of a config struct, of one of the types that a YAML value can have here.
using FieldRef = std::variant<bool*, std::int64_t*, double*, std::string*, IntOrAuto*, IntOrList*, IntLists*,
                              WordOrLists*>;

/// What is allowed in a field. Numbers lie in [least, most]; a text is one of `choices` unless that is empty.
struct Rule {
  double least = -std::numeric_limits<double>::infinity();
  double most = std::numeric_limits<double>::infinity();
  std::vector<std::string> choices{};
};
inline Rule at_least(double least) {
  return {.least = least};
}
inline Rule between(double least, double most) {
  return {.least = least, .most = most};
}
inline Rule one_of(std::vector<std::string> choices) {
  return {.choices = std::move(choices)};
}

/// Sees every field of a config struct. A config struct lists its fields once:
///
///     struct TrainConfig {
///       std::int64_t epochs = 10;
///       void visit(FieldVisitor& v) { v.field("epochs", &epochs, "passes over the training set",
///       at_least(1)); }
///     };
///
/// and parsing, printing, help and the check for unknown keys all come from that list.
class FieldVisitor {
 public:
  virtual ~FieldVisitor() = default;
  virtual void field(std::string_view key, FieldRef value, std::string_view help, const Rule& rule = {}) = 0;

  template <class Config>
  void section(std::string_view key, Config& config) {
    enter(key);
    config.visit(*this);
    leave();
  }

  /// A section whose presence says `present`; the word none in its place takes it away.
  template <class Config>
  void optional_section(std::string_view key, Config& config, bool& present) {
    if (enter_optional(key, present)) config.visit(*this);
    leave();
  }

 protected:
  virtual void enter(std::string_view key) = 0;
  /// Whether there is a section to visit; leave() follows in either case.
  virtual bool enter_optional(std::string_view key, bool& present) = 0;
  virtual void leave() = 0;
};

/// Problems found in a configuration, gathered so that a user sees all of them at once.
class Problems {
 public:
  /// `key` is dotted, e.g. "pipeline.stages"; where it was set is added to the message.
  void add(std::string_view key, std::string message) { entries_.emplace_back(key, std::move(message)); }
  bool empty() const { return entries_.empty(); }
  const std::vector<std::pair<std::string, std::string>>& entries() const { return entries_; }

 private:
  std::vector<std::pair<std::string, std::string>> entries_;
};

/// Configuration text: YAML files and `--set` overrides laid over one another, each value with its origin.
///
/// What is laid later wins, key by key: sections are joined, and any other value (a list, the word none in a
/// section's place) takes the place of what was there, as a section takes that of another value.
class ConfigText {
 public:
  /// Reads the files, each laid over those before it. A file's `include: other.yaml`, or a list of such,
  /// names files, relative to its own folder, that are laid before it, so that its own keys win. A file that
  /// has been laid already is not included again.
  /// @throws Error{config} (with file:line) for a file that is missing or not YAML, files that include one
  /// another in a circle, or more than 8 deep.
  static ConfigText from_files(const std::vector<std::string>& paths);
  /// Parses a text that `origin` names in messages. Nothing is included: an `include` is an unknown key.
  /// @throws Error{config} (with origin:line) if it is not YAML or gives a key twice.
  static ConfigText from_text(const std::string& text, const std::string& origin);

  ConfigText(ConfigText&&) noexcept;
  ConfigText& operator=(ConfigText&&) noexcept;
  ~ConfigText();

  /// Lays another text over this one.
  void lay(ConfigText over);

  /// Lays "a.b=value" (the value is YAML) over the text; creates sections as needed.
  /// @throws Error{config} if there is no '='.
  void set(const std::string& assignment);

  /// Fills `config` from the text. Values of a wrong type, out of range, or with unknown keys (with the
  /// nearest known one) are added to `problems`; the fields keep their defaults.
  template <class Config>
  void fill(Config& config, Problems& problems) {
    const std::unique_ptr<FieldVisitor> reader = make_reader(problems);
    config.visit(*reader);
    finish(*reader);
  }

  /// "file:line", "--set", or "default".
  std::string origin(std::string_view key) const;

  /// @throws Error{config} with one line per problem, "origin: key: message", if there is any.
  void raise(const Problems& problems) const;

 private:
  struct State;
  class Files;
  explicit ConfigText(std::unique_ptr<State> state);
  std::unique_ptr<FieldVisitor> make_reader(Problems& problems);
  static void finish(FieldVisitor& reader);
  std::unique_ptr<State> state_;
};

/// One line of an effective configuration.
struct EffectiveField {
  std::string key;    ///< dotted
  std::string value;  ///< as YAML, on one line
  std::string help;
};

namespace detail {
std::unique_ptr<FieldVisitor> make_lister(std::vector<EffectiveField>& fields);
}

/// Every field with its value, in the order in which the struct lists them.
template <class Config>
std::vector<EffectiveField> list_fields(Config config) {
  std::vector<EffectiveField> fields;
  config.visit(*detail::make_lister(fields));
  return fields;
}

/// The fields as a YAML text that ConfigText::from_text reads back to the same values.
std::string to_yaml(const std::vector<EffectiveField>& fields);

/// The word of `known` nearest to `word` by edit distance, if any is near enough to be meant.
std::optional<std::string> nearest(std::string_view word, const std::vector<std::string>& known);

/// Whether a text is UTF-8, as configurations and paths have to be: runs write them into JSON.
bool is_utf8(const std::string& text);

}  // namespace lamina
