#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>

#include "checkpoint_format.hpp"
#include "lamina/core/digest.hpp"
#include "lamina/core/files.hpp"
#include "lamina/train/checkpoint.hpp"
#include "lamina/train/safetensors.hpp"

namespace lamina {
namespace {

namespace fs = std::filesystem;

// Parameters and buffers in the order of their names, each with name, type and shape, so that equal digests
// mean equal networks.
std::string params_digest(const Module& module) {
  std::vector<NamedTensor> tensors = module.tensors();
  std::sort(tensors.begin(), tensors.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  Sha256 sha;
  for (const NamedTensor& entry : tensors) {
    sha.update(fmt::format("{} {} {};", entry.name, at::toString(entry.tensor.scalar_type()),
                           fmt::join(entry.tensor.sizes(), "x")));
    const at::Tensor dense = entry.tensor.detach().cpu().contiguous();
    sha.update(dense.data_ptr(), dense.nbytes());
  }
  return sha.hex();
}

using Versions = std::vector<std::shared_ptr<const Snapshot>>;

void append_versions(TensorList& list, const std::vector<std::string>& parts, const Versions& versions) {
  for (const auto& snapshot : versions)
    if (std::find(parts.begin(), parts.end(), snapshot->part) != parts.end())
      for (std::size_t i = 0; i < snapshot->tensors.size(); ++i)
        list.emplace_back(version_name(snapshot->part, snapshot->version, i), snapshot->tensors[i]);
}

ModuleFile save_module(const Stage& stage, const Stage::Part& part, const Versions& versions,
                       const fs::path& directory) {
  const std::int64_t index = part.module.spec().index;
  ModuleFile file{.module = index, .file = fmt::format("module-{:03}.safetensors", index)};
  TensorList list = checkpoint_tensors(part);
  append_versions(list, module_parts(stage, part.module), versions);
  const FileDigest digest = write_safetensors(directory / file.file, list);
  for (const auto& snapshot : versions) file.versions.push_back(snapshot->version);
  std::sort(file.versions.begin(), file.versions.end());
  file.versions.erase(std::unique(file.versions.begin(), file.versions.end()), file.versions.end());
  file.sha256 = digest.sha256;
  file.num_bytes = digest.num_bytes;
  file.params_sha256 = params_digest(part.module);
  return file;
}

}  // namespace

std::string combined_sha256(const std::vector<ModuleFile>& modules) {
  Sha256 sha;
  for (const ModuleFile& module : modules) sha.update(module.params_sha256);
  return sha.hex();
}

CheckpointWriter::CheckpointWriter(fs::path directory, std::string config_yaml, std::int64_t keep)
    : directory_(std::move(directory)), config_yaml_(std::move(config_yaml)), keep_(keep) {}

std::string CheckpointWriter::save(const Stage& stage, const Packet& mark, const Versions& versions) const {
  const fs::path partial = partial_path(directory_, mark);
  make_directory(partial);
  Json note = Json::array();
  for (const Stage::Part& part : stage.parts()) note.push_back(save_module(stage, part, versions, partial));
  return note.dump();
}

Manifest CheckpointWriter::finish(const Packet& mark) const {
  Manifest manifest{.step = mark.step, .evaluated = mark.evaluated, .config = config_yaml_};
  for (const std::string& note : mark.notes)
    for (const Json& entry : Json::parse(note)) manifest.modules.push_back(entry.get<ModuleFile>());
  // Pieces of replicas come together in any order.
  std::sort(manifest.modules.begin(), manifest.modules.end(),
            [](const ModuleFile& a, const ModuleFile& b) { return a.module < b.module; });
  manifest.params_sha256 = combined_sha256(manifest.modules);

  const fs::path partial = partial_path(directory_, mark);
  const fs::path complete = complete_path(directory_, mark.step);
  write_file_atomically(partial / manifest_name, seal(manifest));
  // A run that was resumed where it had ended comes to the same state again: what is there stays.
  if (fs::exists(complete))
    fs::remove_all(partial);
  else
    rename_durably(partial, complete);
  const std::vector<fs::path> all = find_checkpoints(directory_);
  for (std::size_t i = 0; i + keep_ < all.size(); ++i) fs::remove_all(all[i]);
  return manifest;
}

}  // namespace lamina
