#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "standin.hpp"
#include "wire.hpp"

namespace nccl_standin {

enum class Way : std::uint32_t { send, receive };

struct Call {
  Way way;
  void* buffer;
  std::size_t count;
  ncclDataType_t type;
  int peer;
};

/// A rank's end of a communicator: matches what it calls with what the peers offer, runs its groups one after
/// the other on their streams, and keeps the state that ncclCommGetAsyncError tells.
class Communicator final : public std::enable_shared_from_this<Communicator>, private WireEvents {
 public:
  Communicator(const std::string& name, int num_ranks, int rank);

  int num_ranks() const { return static_cast<int>(peers_.size()); }
  ncclResult_t state();
  const char* last_error();

  /// In progress until it is in the stream. @returns ncclInvalidUsage while another call is in progress.
  ncclResult_t issue(const std::vector<Call>& calls, cudaStream_t stream);

  /// In progress until all peers have said goodbye too.
  ncclResult_t finalize();

  /// Frees whatever stands still. No call may follow.
  void abort();

 private:
  struct Operation {
    enum class State { issued, running, sent, done };
    Call call;
    std::int64_t group;            ///< of this rank's groups
    std::int64_t peer_group = -1;  ///< of the peer's; -1 until the peer has offered the other end
    State state = State::issued;
  };
  using Operations = std::deque<std::shared_ptr<Operation>>;
  struct Peer {
    Operations ends[2];           // by Way: not done, in the order of their calls
    std::deque<Frame> offers[2];  // by Way, of the peer: not matched yet
    int num_ready = 0;            // receives that the peer runs and this rank has not served
    bool has_called = false;
    bool has_left = false;
    bool is_lost = false;
  };
  struct Group {
    std::int64_t number;
    std::vector<std::shared_ptr<Operation>> operations;
    cudaStream_t stream;
  };
  using Lock = std::unique_lock<std::mutex>;

  void connected() override;
  void arrived(int peer, const Frame& frame, const std::string& payload) override;
  void lost(int peer) override;
  void woken() override;

  void fail(ncclResult_t result, const std::string& text);
  void match(int rank);
  void check_pair(int rank, const Operation& mine, const Frame& theirs);
  void check_order(int rank, const Operation& newest);
  void serve_receives(int rank);
  void take(int rank, const std::string& payload);
  void require_present(int rank);
  void run(const Group& group);
  static std::vector<Operations> batches_of(const Group& group);
  void run_batch(Lock& lock, const Operations& batch);
  bool run_into_fault(Lock& lock, std::int64_t group);
  std::string describe(int peer, const Operation& operation) const;

  const int rank_;
  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  ncclResult_t state_ = ncclInProgress;
  std::string error_;
  std::vector<Peer> peers_;
  std::deque<Group> issued_;  // not in the stream yet
  std::int64_t num_issued_ = 0;
  std::int64_t num_run_ = 0;
  bool finalizing_ = false;
  bool aborted_ = false;

  Wire wire_;  // last: its thread calls this object
};

}  // namespace nccl_standin
