#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "lamina/comm/host_copies.hpp"
#include "lamina/train/checkpoint.hpp"
#include "lamina/train/engine.hpp"
#include "train/checkpoint_mirror.hpp"

namespace lamina {

/// Writes a worker's part of a run's checkpoints beside its training; at the sink, puts those into place of
/// which everybody's part is on the disk.
///
/// At a mark a stage's state is copied, and the stage goes on; a thread writes the copy. The notes of what
/// has been written ride to the sink with whatever packet comes next (Packet::notes), so that nobody waits
/// for anybody: a checkpoint is complete some steps after its mark.
///
/// Threads  the calls are the worker's.
/// Memory   a copy of the worker's state, kept from one checkpoint to the next: of one, so a mark that comes
///          before that is written waits. Behind a stop mark nothing changes: on the host it takes no copy.
/// Errors   what a write threw is thrown by the calls that come after it; nothing more is written then.
class BackgroundWriter {
 public:
  using Versions = std::vector<std::shared_ptr<const Snapshot>>;

  /// `num_modules`: of the network, which a checkpoint is complete with. `mirror`: the sink's, if any.
  BackgroundWriter(CheckpointWriter writer, std::size_t num_modules, std::unique_ptr<HostCopies> copies,
                   std::shared_ptr<CheckpointMirror> mirror = nullptr);
  /// Waits until all that has been copied is written; an error is dropped.
  ~BackgroundWriter();
  BackgroundWriter(const BackgroundWriter&) = delete;
  BackgroundWriter& operator=(const BackgroundWriter&) = delete;

  /// Copies a stage's state as the mark passes it; at a stop mark the stage may not change before finish().
  /// @return the seconds that it waited for an earlier checkpoint to be written. @throws Error{storage}
  double save(const Stage& stage, const Packet& mark, const Versions& versions = {});

  /// Notes of what has been written since they were last asked for. Never waits. @throws Error{storage}
  std::vector<std::string> take_notes();

  /// The sink's, of every packet: takes its notes, and has the checkpoints completed that have all of theirs.
  /// Those whose mark is abandoned never are. Never waits. @throws Error{storage}
  void collect(const Packet& packet);

  /// Waits until all that has been saved is written, and all that can be completed is complete.
  /// @throws Error{storage}
  void finish();
  /// The same of the mirror, which throws nothing.
  void finish_mirror();

  /// The checkpoint completed last, if one was. To be called after finish().
  const std::optional<Manifest>& newest() const { return newest_; }
  CheckpointCost cost() const;

 private:
  using Job = std::function<void()>;
  /// A checkpoint whose mark has come to the sink.
  struct Pending {
    Packet mark;
    std::size_t num_modules = 0;  // of which there are notes
  };

  void put(Job job);
  void serve();
  std::vector<at::Tensor> take_written(int stage);
  void write(const std::vector<ModuleState>& state, const Packet& mark);
  void end_of(int stage, const std::vector<at::Tensor>& copies);
  void complete(const Packet& mark);
  void check() const;

  const CheckpointWriter writer_;
  const std::size_t num_modules_;
  const std::shared_ptr<CheckpointMirror> mirror_;
  std::deque<Pending> pending_;  // oldest first; the worker's thread's

  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  std::deque<Job> jobs_;
  bool is_busy_ = false;                                        // a job is being done
  std::size_t num_open_ = 0;                                    // stages copied and not yet written
  std::optional<std::pair<std::int64_t, PacketKind>> mark_;     // of which they are
  std::optional<std::pair<std::int64_t, PacketKind>> counted_;  // the last one in cost_.written
  std::vector<std::string> notes_;
  std::map<int, std::vector<at::Tensor>> written_;  // by stage: copies to be filled anew
  std::optional<Manifest> newest_;
  CheckpointCost cost_;
  std::exception_ptr error_;
  bool ending_ = false;

  std::thread thread_;
  std::unique_ptr<HostCopies> copies_;  // goes first: what it calls puts jobs
};

}  // namespace lamina
