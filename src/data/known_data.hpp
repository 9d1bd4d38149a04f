#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lamina/data/dataset.hpp"
#include "lamina/data/open.hpp"

namespace lamina {

/// One part of a known data set: the files, or folders, that it cannot do without, and how it is read.
struct KnownPart {
  std::vector<std::string> files;
  std::function<std::shared_ptr<const Dataset>(const std::filesystem::path& folder, const DataConfig&)> read;
};

/// A data set that can be opened by name.
struct KnownData {
  std::string name;
  std::optional<DataTraits> traits;  ///< nothing: `data.image` and the training part's folders tell
  Recipe recipe;
  std::string folder;         ///< below a root, unless `data.folder` names another
  std::string system_folder;  ///< where a Debian package puts the files; empty: there is none
  std::string remedy;         ///< how to get the files
  KnownPart train;
  KnownPart test;
};

/// Everything that `data.name` may say.
const std::vector<KnownData>& known_data();

}  // namespace lamina
