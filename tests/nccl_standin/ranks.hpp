#pragma once

#include <chrono>
#include <functional>
#include <vector>

#include "standin.hpp"

namespace nccl_standin {

using Milliseconds = std::chrono::milliseconds;
constexpr Milliseconds patience(20000);
constexpr Milliseconds moment(200);

/// Waits for what the other threads do. @returns false after `limit`.
bool comes_true(const std::function<bool()>& condition, Milliseconds limit = patience);

/// A rank of a communicator, to be made and used by one thread.
class Rank {
 public:
  Rank(const ncclUniqueId& id, int num_ranks, int rank);
  ~Rank();
  Rank(const Rank&) = delete;
  Rank& operator=(const Rank&) = delete;

  struct Step {
    int to = -1;
    int from = -1;
    std::vector<float>* buffer;
    ncclDataType_t type = ncclFloat32;
  };
  ncclResult_t call(const Step& step) const;
  ncclResult_t call_group(const std::vector<Step>& steps) const;

  /// The communicator's state, once it is not in progress any more.
  ncclResult_t settle(Milliseconds limit = patience) const;

  /// Calls, settles, and waits until all of it is through. @returns false after `limit`.
  bool perform(const std::vector<Step>& steps, Milliseconds limit = patience) const;

  /// Whether the stream gets through what it has by now.
  bool stream_ends(Milliseconds limit = patience) const;

  void abort();

  const int number;
  ncclComm_t comm = nullptr;
  const cudaStream_t stream;
};

/// Both ends use an edge once, in the given direction; other ranks do nothing.
void use_edge(const Rank& rank, int from, int to);

/// Runs `body` as all ranks of a new communicator, each in a thread of its own.
void run_ranks(int num_ranks, const std::function<void(Rank&)>& body);

}  // namespace nccl_standin
