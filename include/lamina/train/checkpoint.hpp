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
#include "lamina/train/safetensors.hpp"

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
  std::int64_t rollbacks = 0;   ///< that the run had made: part of what the order of the data follows from
  std::string config{};         ///< effective configuration, YAML
  std::string params_sha256{};  ///< of all parameters and buffers
  std::vector<ModuleFile> modules{};
};

/// SHA-256 over a network's modules, from those of its modules in order.
std::string combined_sha256(const std::vector<ModuleFile>& modules);

/// A module as its file holds it.
struct ModuleState {
  std::int64_t module = 0;
  TensorList network{};                  ///< parameters and buffers, by name
  TensorList beside{};                   ///< momentum, and parameters of one step ago
  TensorList published{};                ///< versions of the module's parts; on the host, never written to
  std::vector<std::int64_t> versions{};  ///< their numbers, ascending
};

/// A stage's modules: the tensors themselves, not copies. `versions`: of the stage's published parts, that a
/// resumed run's readers still need.
std::vector<ModuleState> state_of(const Stage& stage,
                                  const std::vector<std::shared_ptr<const Snapshot>>& versions = {});

/// Writes a run's checkpoints, each stage its own modules' files.
///
/// A checkpoint is written aside as DIR/step-N.partial and renamed once the notes of all are there, so a
/// directory without that ending is complete.
///
/// Threads  any, one at a time for a mark and stage.
class CheckpointWriter {
 public:
  CheckpointWriter(std::filesystem::path directory, std::string config_yaml, std::int64_t keep,
                   std::int64_t rollbacks = 0);

  /// A stage's part: one file a module, on the disk when this returns. @return a note for finish().
  /// @throws Error{storage}
  std::string save(const std::vector<ModuleState>& modules, const Packet& mark) const;

  /// Given a mark with the notes of all stages: writes the manifest, renames, and deletes all but the newest.
  /// @throws Error{storage}, also where a file that a note tells of is not there: nothing is renamed then, or
  /// deleted.
  Manifest finish(const Packet& mark) const;

  const std::filesystem::path& directory() const { return directory_; }

 private:
  std::filesystem::path directory_;
  std::string config_yaml_;
  std::int64_t keep_;
  std::int64_t rollbacks_;
};

/// The step of a checkpoint, by its directory's name.
std::int64_t step_of(const std::filesystem::path& checkpoint);

/// Complete checkpoints in a directory, oldest first; none where there is no directory.
/// @throws Error{storage} if it cannot be read; so do those below.
std::vector<std::filesystem::path> find_checkpoints(const std::filesystem::path& directory);

/// What a run that is under way, or was killed, has half-written, or half-deleted, there.
std::vector<std::filesystem::path> find_partial_checkpoints(const std::filesystem::path& directory);

/// Deletes it.
void remove_partial_checkpoints(const std::filesystem::path& directory);

/// Deletes all but the `keep` newest complete ones.
void remove_old_checkpoints(const std::filesystem::path& directory, std::int64_t keep);

/// Renames a checkpoint that is not whole to NAME.damaged, where it counts no more and is never deleted, so
/// that a new one can take its place. @throws Error{storage}
void set_aside(const std::filesystem::path& checkpoint);

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

/// As find_checkpoints(), where others may have put theirs: by their own configurations all have to be of the
/// run whose files are in `out`. One that cannot be read is nobody else's. @throws Error{storage}
std::vector<std::filesystem::path> find_own_checkpoints(const std::filesystem::path& directory,
                                                        const std::filesystem::path& out);

}  // namespace lamina
