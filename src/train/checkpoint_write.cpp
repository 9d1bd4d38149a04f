#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <fstream>

#include "checkpoint_format.hpp"
#include "lamina/core/digest.hpp"
#include "lamina/core/error.hpp"
#include "lamina/core/files.hpp"
#include "lamina/train/checkpoint.hpp"
#include "lamina/train/safetensors.hpp"

namespace lamina {
namespace {

using Json = nlohmann::json;

namespace fs = std::filesystem;

// Parameters and buffers in the order of their names, each with name, type and shape, so that equal digests
// mean equal networks.
std::string params_digest(TensorList tensors) {
  std::sort(tensors.begin(), tensors.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  Sha256 sha;
  for (const auto& [name, tensor] : tensors) {
    sha.update(
        fmt::format("{} {} {};", name, at::toString(tensor.scalar_type()), fmt::join(tensor.sizes(), "x")));
    const at::Tensor dense = tensor.detach().cpu().contiguous();
    sha.update(dense.data_ptr(), dense.nbytes());
  }
  return sha.hex();
}

using Versions = std::vector<std::shared_ptr<const Snapshot>>;

TensorList version_tensors(const std::vector<std::string>& parts, const Versions& versions) {
  TensorList list;
  for (const auto& snapshot : versions)
    if (std::find(parts.begin(), parts.end(), snapshot->part) != parts.end())
      for (std::size_t i = 0; i < snapshot->tensors.size(); ++i)
        list.emplace_back(version_name(snapshot->part, snapshot->version, i), snapshot->tensors[i]);
  return list;
}

ModuleFile save_module(const ModuleState& state, const fs::path& directory) {
  ModuleFile file{.module = state.module,
                  .file = fmt::format("module-{:03}.safetensors", state.module),
                  .params_sha256 = params_digest(state.network),
                  .versions = state.versions};
  TensorList list = state.network;
  list.insert(list.end(), state.beside.begin(), state.beside.end());
  list.insert(list.end(), state.published.begin(), state.published.end());
  const FileDigest digest = write_safetensors(directory / file.file, list);
  file.sha256 = digest.sha256;
  file.num_bytes = digest.num_bytes;
  return file;
}

// Another host has written it. It is opened, since NFS may remember a size but asks anew where a file is
// opened.
void require_here(const fs::path& path, std::int64_t num_bytes) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  const std::int64_t found = file ? static_cast<std::int64_t>(file.tellg()) : -1;
  if (found == num_bytes) return;
  throw Error(ErrorKind::storage,
              fmt::format("{}: expected the {} bytes that its worker has written, found {}: is OUT shared by "
                          "all hosts?",
                          path.string(), num_bytes, found < 0 ? "no such file" : std::to_string(found)));
}

}  // namespace

std::string combined_sha256(const std::vector<ModuleFile>& modules) {
  Sha256 sha;
  for (const ModuleFile& module : modules) sha.update(module.params_sha256);
  return sha.hex();
}

std::vector<ModuleState> state_of(const Stage& stage, const Versions& versions) {
  std::vector<std::int64_t> numbers;
  for (const auto& snapshot : versions) numbers.push_back(snapshot->version);
  std::sort(numbers.begin(), numbers.end());
  numbers.erase(std::unique(numbers.begin(), numbers.end()), numbers.end());
  std::vector<ModuleState> state;
  for (const Stage::Part& part : stage.parts())
    state.push_back({.module = part.module.spec().index,
                     .network = network_tensors(part),
                     .beside = tensors_beside(part),
                     .published = version_tensors(module_parts(stage, part.module), versions),
                     .versions = numbers});
  return state;
}

CheckpointWriter::CheckpointWriter(fs::path directory, std::string config_yaml, std::int64_t keep,
                                   std::int64_t rollbacks)
    : directory_(std::move(directory)),
      config_yaml_(std::move(config_yaml)),
      keep_(keep),
      rollbacks_(rollbacks) {}

std::string CheckpointWriter::save(const std::vector<ModuleState>& modules, const Packet& mark) const {
  const fs::path partial = partial_path(directory_, mark);
  make_directory(partial);
  Json note = Json::array();
  for (const ModuleState& module : modules) note.push_back(save_module(module, partial));
  return note.dump();
}

Manifest CheckpointWriter::finish(const Packet& mark) const {
  Manifest manifest{
      .step = mark.step, .evaluated = mark.evaluated, .rollbacks = rollbacks_, .config = config_yaml_};
  for (const std::string& note : mark.notes)
    for (const Json& entry : Json::parse(note)) manifest.modules.push_back(entry.get<ModuleFile>());
  // Pieces of replicas come together in any order.
  std::sort(manifest.modules.begin(), manifest.modules.end(),
            [](const ModuleFile& a, const ModuleFile& b) { return a.module < b.module; });
  manifest.params_sha256 = combined_sha256(manifest.modules);

  const fs::path partial = partial_path(directory_, mark);
  const fs::path complete = complete_path(directory_, mark.step);
  for (const ModuleFile& module : manifest.modules) require_here(partial / module.file, module.num_bytes);
  write_file_atomically(partial / manifest_name, seal(manifest));
  // A run that was resumed where it had ended comes to the same state again: what is there stays.
  if (fs::exists(complete))
    remove_directory(partial);
  else
    rename_durably(partial, complete);
  remove_old_checkpoints(directory_, keep_);
  return manifest;
}

}  // namespace lamina
