#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <set>
#include <system_error>
#include <utility>

#include "core/config_entry.hpp"
#include "core/config_value.hpp"
#include "lamina/core/error.hpp"
#include "lamina/core/files.hpp"

namespace lamina {
namespace {

namespace fs = std::filesystem;

constexpr const char* kInclude = "include";
constexpr std::size_t kMostDepth = 8;

// `place` ends in ": " where there is one: nothing stands before a file from the command line.
[[noreturn]] void fail(const std::string& place, const std::string& message) {
  throw Error(ErrorKind::config, place + message);
}

// The name by which a file is known again, however it was named.
fs::path identity(const fs::path& path) {
  std::error_code missing_files_are_found_out_by_reading;
  const fs::path canonical = fs::weakly_canonical(path, missing_files_are_found_out_by_reading);
  return canonical.empty() ? path : canonical;
}

// "a/../b.yaml" as "b.yaml", unless links make that another file.
fs::path tidy(const fs::path& path) {
  const fs::path normal = path.lexically_normal();
  return identity(normal) == identity(path) ? normal : path;
}

std::vector<fs::path> included(const YAML::Node& value, const std::string& place) {
  if (value.IsScalar()) return {value.Scalar()};
  if (!value.IsSequence() ||
      !std::all_of(value.begin(), value.end(), [](const YAML::Node& item) { return item.IsScalar(); }))
    fail(place, fmt::format("expected a file or a list of files, found {}", describe(value)));
  std::vector<fs::path> paths;
  for (const YAML::Node& item : value) paths.emplace_back(item.Scalar());
  return paths;
}

std::string read(const fs::path& path, const std::string& place) {
  try {
    return read_file(path);
  } catch (const Error& error) {
    fail(place, fmt::format("expected a configuration file: {}", error.what()));
  }
}

}  // namespace

/// Lays files over one another, each with what it includes below it.
class ConfigText::Files {
 public:
  void lay(const fs::path& path, const std::string& place) {
    const fs::path file = identity(path);
    check(path, file, place);
    ConfigText text = from_text(read(path, place), path.string());
    open_.emplace_back(file, path.string());
    std::list<Entry>& entries = text.state_->root.entries;
    const auto include = std::ranges::find(entries, kInclude, &Entry::key);
    if (include != entries.end()) {
      const std::string inside = fmt::format("{}: {}: ", include->origin(), kInclude);
      for (const fs::path& other : included(include->value, inside)) {
        const fs::path target = tidy(path.parent_path() / other);
        if (!laid_.contains(identity(target))) lay(target, inside);
      }
      entries.erase(include);
    }
    open_.pop_back();
    laid_.insert(file);
    all_.lay(std::move(text));
  }

  ConfigText take() { return std::move(all_); }

 private:
  void check(const fs::path& path, const fs::path& file, const std::string& place) const {
    const auto before = std::ranges::find(open_, file, &std::pair<fs::path, std::string>::first);
    if (before != open_.end()) {
      std::vector<std::string> circle;
      std::transform(before, open_.end(), std::back_inserter(circle),
                     [](const auto& open) { return open.second; });
      fail(place, fmt::format("expected files that do not include one another, found {} -> {}",
                              fmt::join(circle, " -> "), path.string()));
    }
    if (open_.size() > kMostDepth)
      fail(place, fmt::format("expected files included at most {} deep, found {} deeper", kMostDepth,
                              path.string()));
  }

  ConfigText all_{std::make_unique<State>()};
  std::vector<std::pair<fs::path, std::string>> open_;  ///< files being read, and how they are called
  std::set<fs::path> laid_;
};

ConfigText ConfigText::from_files(const std::vector<std::string>& paths) {
  Files files;
  for (const std::string& path : paths) files.lay(path, "");
  return files.take();
}

}  // namespace lamina
