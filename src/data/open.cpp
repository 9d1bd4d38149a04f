#include "lamina/data/open.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <numeric>
#include <system_error>

#include "data/image_folder.hpp"
#include "data/known_data.hpp"
#include "data/random.hpp"
#include "data/subset_dataset.hpp"
#include "lamina/core/error.hpp"

namespace lamina {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> known_names() {
  std::vector<std::string> names;
  for (const KnownData& known : known_data()) names.push_back(known.name);
  return names;
}

const KnownData& find_known(const std::string& name) {
  const auto found = std::ranges::find(known_data(), name, &KnownData::name);
  if (found != known_data().end()) return *found;
  const std::optional<std::string> meant = nearest(name, known_names());
  throw Error(ErrorKind::config,
              fmt::format("data.name: expected one of {}, found '{}'{}", fmt::join(known_names(), ", "), name,
                          meant ? fmt::format("; did you mean '{}'?", *meant) : ""));
}

/// Folders that may hold the files, the first choice first. A whole path or an explicit root is the only one.
std::vector<fs::path> candidate_folders(const KnownData& known, const DataConfig& config) {
  const fs::path folder = config.folder.empty() ? known.folder : config.folder;
  if (folder.is_absolute()) return {folder};
  if (!config.root.empty()) return {config.root / folder};
  std::vector<fs::path> folders;
  if (const char* data = std::getenv("LAMINA_DATA"); data && *data) folders.push_back(data / folder);
  if (const char* home = std::getenv("HOME"); home && *home) {
    folders.push_back(fs::path(home) / ".cache/lamina/data" / folder);
  }
  if (config.folder.empty() && !known.system_folder.empty()) folders.emplace_back(known.system_folder);
  return folders;
}

/// The first folder that holds all the files.
fs::path find_folder(const KnownData& known, const std::vector<std::string>& files,
                     const DataConfig& config) {
  if (files.empty()) return {};
  const auto is_absent = [](const fs::path& path) {
    std::error_code unreadable_counts_as_absent;
    return !fs::exists(path, unreadable_counts_as_absent);
  };
  std::vector<std::string> missing;
  for (const fs::path& folder : candidate_folders(known, config)) {
    const auto absent =
        std::ranges::find_if(files, [&](const auto& file) { return is_absent(folder / file); });
    if (absent == files.end()) return folder;
    missing.push_back((folder / *absent).string());
  }
  if (missing.empty())
    missing.emplace_back("folder to look in (data.root, $LAMINA_DATA and $HOME are empty)");
  throw Error(ErrorKind::data, fmt::format("data set {}: expected its files, found no {}; {}", known.name,
                                           fmt::join(missing, " and no "), known.remedy));
}

/// Moves `count` images out of the training part into the test part. The choice is the same in every run, and
/// a smaller choice is part of a larger one.
void hold_out(DataSource& source, std::int64_t count) {
  const std::int64_t size = source.train->size();
  if (count >= size) {
    throw Error(ErrorKind::config,
                fmt::format("data.validation: expected fewer than the {} training images of {}, found {}",
                            size, source.name, count));
  }
  std::vector<std::int64_t> held = draw_permutation(random_stream(0, RandomUse::validation), size);
  std::vector<std::int64_t> kept(held.begin() + count, held.end());
  held.resize(static_cast<std::size_t>(count));
  std::ranges::sort(held);
  std::ranges::sort(kept);
  source.test = std::make_shared<SubsetDataset>(source.train, std::move(held));
  source.train = std::make_shared<SubsetDataset>(source.train, std::move(kept));
}

void require_classes(const DataConfig& config, const Dataset& train) {
  if (config.classes == 0 || config.classes == train.num_classes()) return;
  throw Error(ErrorKind::config, fmt::format("data.classes: expected the {} that {} has, found {}",
                                             train.num_classes(), config.name, config.classes));
}

void limit(std::shared_ptr<const Dataset>& part, std::int64_t count, std::string_view key) {
  if (count == 0) return;
  if (count > part->size()) {
    throw Error(ErrorKind::config, fmt::format("{}: expected at most the {} images there are, found {}", key,
                                               part->size(), count));
  }
  std::vector<std::int64_t> first(static_cast<std::size_t>(count));
  std::iota(first.begin(), first.end(), std::int64_t{0});
  part = std::make_shared<SubsetDataset>(part, std::move(first));
}

}  // namespace

void DataConfig::visit(FieldVisitor& v) {
  v.field("name", &name, "data set", one_of(known_names()));
  v.field("root", &root, "folder that holds data sets; empty: $LAMINA_DATA, then ~/.cache/lamina/data");
  v.field("folder", &folder, "folder of the data set below the root, or a whole path; empty: its usual name");
  v.field("classes", &classes, "classes of an image folder; 0: as many as it has", at_least(0));
  v.field("image", &image, "side of the square that images of an image folder become", between(8, 4096));
  v.field("validation", &validation, "training images held out in place of the test set; 0: use the test set",
          at_least(0));
  v.field("train_limit", &train_limit, "only the first so many training images; 0: all", at_least(0));
  v.field("test_limit", &test_limit, "only the first so many test images; 0: all", at_least(0));
  v.field("loader_threads", &loader_threads, "threads that make batches ahead of the training",
          between(1, 256));
  v.field("augment", &augment, "random crops and flips of training images");
  v.field("broken", &broken,
          "what an image that cannot be read does: end the run, or be replaced by the next",
          one_of({"fatal", "skip"}));
}

Recipe data_recipe(const DataConfig& config) {
  return find_known(config.name).recipe;
}

DataTraits data_traits(const DataConfig& config) {
  const KnownData& known = find_known(config.name);
  if (known.traits) return *known.traits;
  DataTraits traits{{3, config.image, config.image}, config.classes};
  if (traits.num_classes == 0) {
    const fs::path folder = find_folder(known, known.train.files, config);
    traits.num_classes = static_cast<std::int64_t>(class_names(folder / known.train.files[0]).size());
  }
  return traits;
}

DataSource open_data(const DataConfig& config) {
  const KnownData& known = find_known(config.name);
  std::vector<std::string> files = known.train.files;
  if (config.validation == 0) files.insert(files.end(), known.test.files.begin(), known.test.files.end());
  const fs::path folder = find_folder(known, files, config);

  DataSource source{known.name, known.train.read(folder, config), nullptr, known.recipe,
                    config.broken == "skip"};
  require_classes(config, *source.train);
  if (config.validation > 0) {
    hold_out(source, config.validation);
  } else {
    source.test = known.test.read(folder, config);
  }
  limit(source.train, config.train_limit, "data.train_limit");
  limit(source.test, config.test_limit, "data.test_limit");
  return source;
}

}  // namespace lamina
