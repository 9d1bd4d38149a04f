#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "lamina/data/dataset.hpp"
#include "lamina/data/open.hpp"

namespace lamina {

/// One part of a known data set: its files and how they become images.
struct KnownPart {
  std::vector<std::string> files;
  std::function<std::shared_ptr<const Dataset>(const std::vector<std::filesystem::path>& files)> read;
};

/// A data set that can be opened by name.
struct KnownData {
  std::string name;
  DataTraits traits;
  Recipe recipe;
  std::string folder;         ///< below a root
  std::string system_folder;  ///< where a Debian package puts the files; empty: there is none
  std::string remedy;         ///< how to get the files
  KnownPart train;
  KnownPart test;
};

/// Everything that `data.name` may say.
const std::vector<KnownData>& known_data();

}  // namespace lamina
