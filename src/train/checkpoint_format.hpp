#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "lamina/train/checkpoint.hpp"
#include "lamina/train/safetensors.hpp"

// The layout of a checkpoint on the disk, shared by its writer and its reader.

namespace lamina {

/// What is written; 1 to this are read. A new number needs a row in upgrade() and a fixture
/// (docs/formats.md).
inline constexpr int checkpoint_format_version = 3;
inline constexpr const char* manifest_name = "manifest.json";
inline constexpr const char* step_prefix = "step-";
inline constexpr const char* partial_ending = ".partial";

std::filesystem::path complete_path(const std::filesystem::path& directory, std::int64_t step);
/// Where a mark's checkpoint is written aside: a stop may follow a checkpoint at the same step while that is
/// still on its way through the stages.
std::filesystem::path partial_path(const std::filesystem::path& directory, const Packet& mark);

inline const std::string momentum_prefix = "sgd.momentum.";
inline const std::string previous_prefix = "previous.";

/// Parameters and buffers under their own names, momentum as "sgd.momentum.<name>", and with schedule 2bw the
/// parameters of one step ago as "previous.<name>".
TensorList checkpoint_tensors(const Stage::Part& part);
/// The same in two: those under their own names, and the others.
TensorList network_tensors(const Stage::Part& part);
TensorList tensors_beside(const Stage::Part& part);

/// Parts that a module publishes, if its stage publishes them.
std::vector<std::string> module_parts(const Stage& stage, const Module& module);

/// The i-th tensor of a saved version of a part: "version.<version>.<part>.<i>".
std::string version_name(const std::string& part, std::int64_t version, std::size_t i);

/// The manifest as a text that carries its own checksum, and back. @throws Error{checkpoint}, also for a
/// module's file that would lie in another directory.
std::string seal(const Manifest& manifest);
Manifest unseal(const std::string& text, const std::filesystem::path& path);
/// True for an undamaged manifest of a later build.
bool is_of_later_format(const std::string& sealed);

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(ModuleFile, module, file, sha256, num_bytes, params_sha256, versions)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Manifest, step, evaluated, rollbacks, config, params_sha256, modules)

}  // namespace lamina
