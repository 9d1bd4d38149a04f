#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lamina/comm/snapshot.hpp"
#include "lamina/core/config.hpp"
#include "lamina/pipeline/stage.hpp"

namespace lamina {

/// A module's file within a checkpoint.
struct ModuleFile {
  std::int64_t module = 0;
  std::string file{};    ///< name within the checkpoint's directory
  std::string sha256{};  ///< of the file
  std::int64_t num_bytes = 0;
  std::string params_sha256{};           ///< of the module's parameters and buffers, by name
  std::vector<std::int64_t> versions{};  ///< of the stage's published parts that are in the files, ascending
};

/// What a checkpoint says of itself: DIR/step-00000030/manifest.json.
struct Manifest {
  std::int64_t step =
      0;  ///< steps done; with the seed it determines the data position and every random number
  bool evaluated = true;        ///< no evaluation is due any more at that step
  std::string config{};         ///< effective configuration, YAML
  std::string params_sha256{};  ///< of all parameters and buffers
  std::vector<ModuleFile> modules{};
};

/// SHA-256 over a network's modules, from those of its modules in order.
std::string combined_sha256(const std::vector<ModuleFile>& modules);

/// Writes a run's checkpoints, each stage its own modules' files.
///
/// A checkpoint is written aside as DIR/step-N.partial and renamed when the last stage has the notes of all,
/// so a directory without that ending is complete.
class CheckpointWriter {
 public:
  CheckpointWriter(std::filesystem::path directory, std::string config_yaml, std::int64_t keep);

  /// Any stage, when the mark passes it: writes one file a module. `versions`: of the stage's published
  /// parts, that a resumed run's readers still need. @return a note for finish(). @throws Error{storage}
  std::string save(const Stage& stage, const Packet& mark,
                   const std::vector<std::shared_ptr<const Snapshot>>& versions = {}) const;

  /// The last stage, when the mark has passed all: writes the manifest, renames, and deletes all but the
  /// newest.
  /// @throws Error{storage}
  Manifest finish(const Packet& mark) const;

 private:
  std::filesystem::path directory_;
  std::string config_yaml_;
  std::int64_t keep_;
};

/// Complete checkpoints in a directory, oldest first.
std::vector<std::filesystem::path> find_checkpoints(const std::filesystem::path& directory);

/// What a run that is under way, or was killed, has half-written there.
std::vector<std::filesystem::path> find_partial_checkpoints(const std::filesystem::path& directory);

/// Deletes it.
void remove_partial_checkpoints(const std::filesystem::path& directory);

/// @throws Error{checkpoint} if there is none, or it is not whole and unchanged.
Manifest read_manifest(const std::filesystem::path& checkpoint);

/// Fills a stage's parameters, buffers, heads, EMAs and momentum. Nothing is changed unless the files of all
/// its modules are whole. @return the saved versions of its published parts, the oldest of each first.
/// @throws Error{checkpoint} naming the file, what was expected and what was found.
std::vector<Snapshot> load_stage(const std::filesystem::path& checkpoint, const Manifest& manifest,
                                 Stage& stage);

/// @throws Error{checkpoint} if `config` computes something else than the checkpoint's configuration: naming
/// the keys. What may change on resume (max_steps, workers, transport, paths, ...) may differ.
void check_same_run(const Manifest& manifest, const std::vector<EffectiveField>& config);

}  // namespace lamina
