#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

#include "checkpoint_format.hpp"
#include "lamina/core/digest.hpp"
#include "lamina/core/error.hpp"
#include "lamina/core/files.hpp"
#include "lamina/train/checkpoint.hpp"
#include "lamina/train/run_config.hpp"

namespace lamina {
namespace {

namespace fs = std::filesystem;

// Keys, or sections ending in '.', that say what is computed: a checkpoint belongs to their values.
constexpr std::array<std::string_view, 16> bound_keys = {
    "model.",           "partition.",        "method.",
    "pipeline.stages",  "pipeline.schedule", "pipeline.micro_batches",
    "snapshots.policy", "snapshots.lag",     "snapshots.every",
    "data.name",        "data.validation",   "data.train_limit",
    "train.batch",      "train.seed",        "pipeline.precision",
    "pipeline.transfer"};

bool is_bound(std::string_view key) {
  return std::any_of(bound_keys.begin(), bound_keys.end(), [&](std::string_view bound) {
    return bound.ends_with('.') ? key.starts_with(bound) : key == bound;
  });
}

// A regular checkpoint's name: leftovers of a crash have an ending behind the number, and what else begins so
// is not ours.
bool is_complete(const fs::path& path) {
  const std::string name = path.filename().string();
  const std::size_t number = std::strlen(step_prefix);
  return name.starts_with(step_prefix) && name.size() > number &&
         name.find_first_not_of("0123456789", number) == std::string::npos;
}

std::vector<fs::path> entries(const fs::path& directory) {
  std::vector<fs::path> paths;
  std::error_code problem;
  for (fs::directory_iterator entry(directory, problem), end; !problem && entry != end;
       entry.increment(problem))
    paths.push_back(entry->path());
  if (problem && problem != std::errc::no_such_file_or_directory && problem != std::errc::not_a_directory)
    throw Error(ErrorKind::storage, fmt::format("{}: {}", directory.string(), problem.message()));
  std::sort(paths.begin(), paths.end());
  return paths;
}

std::string read_verified(const fs::path& path, const ModuleFile& file) {
  if (!fs::exists(path))
    throw Error(ErrorKind::checkpoint,
                fmt::format("{}: expected the file of module {}, found none", path.string(), file.module));
  std::string bytes = read_file(path);
  if (static_cast<std::int64_t>(bytes.size()) != file.num_bytes)
    throw Error(ErrorKind::checkpoint,
                fmt::format("{}: expected {} bytes, found {}", path.string(), file.num_bytes, bytes.size()));
  const std::string found = sha256_hex(bytes);
  if (found != file.sha256)
    throw Error(ErrorKind::checkpoint,
                fmt::format("{}: expected SHA-256 {}, found {}: the file has changed since it was written",
                            path.string(), file.sha256, found));
  return bytes;
}

using Copies = std::vector<std::pair<at::Tensor, at::Tensor>>;  // to, from

void match(const TensorList& wanted, const std::map<std::string, at::Tensor>& found, const fs::path& path,
           Copies& copies) {
  for (const auto& [name, to] : wanted) {
    const auto from = found.find(name);
    if (from == found.end())
      throw Error(ErrorKind::checkpoint,
                  fmt::format("{}: expected a tensor {}, found none", path.string(), name));
    check_given(fmt::format("{}: {}", path.string(), name), from->second, to.scalar_type(), to.sizes());
    copies.emplace_back(to, from->second);
  }
  if (found.size() != wanted.size())
    throw Error(ErrorKind::checkpoint,
                fmt::format("{}: expected {} tensors, found {}", path.string(), wanted.size(), found.size()));
}

// The checkpoint's new path, with the ending, in the place of what has that name.
fs::path renamed(const fs::path& checkpoint, const std::string& ending) {
  fs::path path = checkpoint.string() + ending;
  remove_directory(path);
  rename_durably(checkpoint, path);
  return path;
}

// The saved versions of a module's parts, shaped as they are and still to be filled.
std::vector<Snapshot> saved_versions(const Stage& stage, const Module& module,
                                     const std::vector<std::int64_t>& versions) {
  std::vector<Snapshot> saved;
  for (const std::string& part : module_parts(stage, module))
    for (const std::int64_t version : versions) saved.push_back(stage.copy_part(part, version));
  return saved;
}

bool is_of_run(const fs::path& checkpoint, const fs::path& out) {
  try {
    ConfigText text = ConfigText::from_text(read_manifest(checkpoint).config, checkpoint.string());
    const fs::path written = read_run_config(text).out;
    return fs::absolute(written).lexically_normal() == fs::absolute(out).lexically_normal();
  } catch (const Error&) {
    return true;
  }
}

}  // namespace

std::int64_t step_of(const fs::path& checkpoint) {
  const std::string name = checkpoint.filename().string();
  std::int64_t step = -1;
  if (name.starts_with(step_prefix))
    std::from_chars(name.data() + std::strlen(step_prefix), name.data() + name.size(), step);
  return step;
}

std::vector<fs::path> find_checkpoints(const fs::path& directory) {
  std::vector<fs::path> complete = entries(directory);
  std::erase_if(complete, [](const fs::path& path) { return !is_complete(path); });
  std::ranges::stable_sort(complete, {}, step_of);  // names have eight digits, and steps may have more
  return complete;
}

std::vector<fs::path> find_partial_checkpoints(const fs::path& directory) {
  std::vector<fs::path> partial = entries(directory);
  std::erase_if(partial, [](const fs::path& path) {
    const std::string name = path.filename().string();
    return !name.starts_with(step_prefix) || !name.ends_with(partial_ending);
  });
  return partial;
}

void remove_partial_checkpoints(const fs::path& directory) {
  for (const fs::path& path : find_partial_checkpoints(directory)) remove_directory(path);
}

// Renamed first: whoever is killed amidst it leaves nothing by a complete one's name.
void remove_old_checkpoints(const fs::path& directory, std::int64_t keep) {
  const std::vector<fs::path> all = find_checkpoints(directory);
  for (std::size_t i = 0; i + keep < all.size(); ++i)
    remove_directory(renamed(all[i], std::string(".old") + partial_ending));
}

void set_aside(const fs::path& checkpoint) {
  renamed(checkpoint, ".damaged");
}

Manifest read_manifest(const fs::path& checkpoint) {
  const fs::path path = checkpoint / manifest_name;
  if (!fs::exists(path))
    throw Error(ErrorKind::checkpoint, fmt::format("{}: expected a checkpoint with a {}, found none",
                                                   checkpoint.string(), manifest_name));
  return unseal(read_file(path), path);
}

std::vector<Snapshot> load_stage(const fs::path& checkpoint, const Manifest& manifest, Stage& stage) {
  Copies copies;
  std::vector<Snapshot> versions;
  for (const Stage::Part& part : stage.parts()) {
    const std::int64_t index = part.module.spec().index;
    const auto file = std::find_if(manifest.modules.begin(), manifest.modules.end(),
                                   [&](const ModuleFile& f) { return f.module == index; });
    if (file == manifest.modules.end())
      throw Error(ErrorKind::checkpoint, fmt::format("{}: expected a module {}, found {} modules",
                                                     checkpoint.string(), index, manifest.modules.size()));
    const fs::path path = checkpoint / file->file;
    TensorList wanted = checkpoint_tensors(part);
    for (Snapshot& snapshot : saved_versions(stage, part.module, file->versions)) {
      for (std::size_t i = 0; i < snapshot.tensors.size(); ++i)
        wanted.emplace_back(version_name(snapshot.part, snapshot.version, i), snapshot.tensors[i]);
      versions.push_back(std::move(snapshot));
    }
    match(wanted, parse_safetensors(read_verified(path, *file), path), path, copies);
  }
  const at::NoGradGuard no_grad;
  for (auto& [to, from] : copies) to.copy_(from);
  return versions;
}

std::vector<fs::path> find_own_checkpoints(const fs::path& directory, const fs::path& out) {
  std::vector<fs::path> found = find_checkpoints(directory);
  for (const fs::path& checkpoint : found)
    if (!is_of_run(checkpoint, out))
      throw Error(ErrorKind::storage, fmt::format("{}: expected a checkpoint of the run in {}, found one of "
                                                  "another run's",
                                                  checkpoint.string(), out.string()));
  return found;
}

void check_same_run(const Manifest& manifest, const std::vector<EffectiveField>& config) {
  ConfigText text = ConfigText::from_text(manifest.config, "the checkpoint's configuration");
  RunConfig written = read_run_config(text);
  std::map<std::string, std::string> then;
  for (const EffectiveField& field : list_fields(written)) then[field.key] = field.value;
  for (const EffectiveField& field : config)
    if (is_bound(field.key) && field.key != "model.init" && then[field.key] != field.value)
      throw Error(ErrorKind::checkpoint,
                  fmt::format("the checkpoint is of another run: expected {}: {}, found {}", field.key,
                              then[field.key], field.value));
}

}  // namespace lamina
