#include "nccl.h"

#include <atomic>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "communicator.hpp"

struct ncclComm {
  ncclComm(const std::string& name, int num_ranks, int rank)
      : ends(std::make_shared<nccl_standin::Communicator>(name, num_ranks, rank)) {}

  std::shared_ptr<nccl_standin::Communicator> ends;  // none: destroyed or aborted
  const std::thread::id caller = std::this_thread::get_id();
};

namespace {

using nccl_standin::Call;
using nccl_standin::Way;

struct GroupCall {
  ncclComm_t comm;
  Call call;
  cudaStream_t stream;
};
thread_local int depth = 0;
thread_local std::vector<GroupCall> group;

std::atomic<int> calls_after_the_end = 0;

// They stay until the process ends, so that a call after the end is told from others.
ncclComm_t keep(std::unique_ptr<ncclComm> comm) {
  static std::mutex mutex;
  static std::vector<std::unique_ptr<ncclComm>> kept;
  const std::lock_guard lock(mutex);
  kept.push_back(std::move(comm));
  return kept.back().get();
}

ncclResult_t refuse(const char* text) {
  std::fprintf(stderr, "nccl stand-in: %s\n", text);
  return ncclInvalidUsage;
}

// Whether a call may go on to the communicator.
ncclResult_t check(ncclComm_t comm) {
  if (!comm) return ncclInvalidArgument;
  if (!comm->ends) {
    ++calls_after_the_end;
    return refuse("a call on a communicator that was destroyed or aborted");
  }
  if (comm->caller != std::this_thread::get_id())
    return refuse("a communicator is called from a thread that did not make it");
  return ncclSuccess;
}

ncclResult_t add(const GroupCall& added) {
  const ncclResult_t allowed = check(added.comm);
  if (allowed != ncclSuccess) return allowed;
  const Call& call = added.call;
  if (call.peer < 0 || call.peer >= added.comm->ends->num_ranks() || !added.stream ||
      (call.count > 0 && !call.buffer) || call.type > ncclBfloat16)
    return ncclInvalidArgument;
  if (depth == 0) return added.comm->ends->issue({call}, added.stream);
  group.push_back(added);
  return ncclSuccess;
}

}  // namespace

int nccl_standin::num_calls_after_the_end() {
  return calls_after_the_end;
}

ncclResult_t ncclGetVersion(int* version) {
  *version = 29900;
  return ncclSuccess;
}

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  std::random_device random;
  *id = {};
  std::snprintf(id->internal, sizeof id->internal, "nccl-standin-%08x%08x", random(), random());
  return ncclSuccess;
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t* comm, int nranks, ncclUniqueId id, int rank,
                                    ncclConfig_t* config) {
  if (!config || config->blocking != 0) return ncclInvalidArgument;
  if (rank < 0 || rank >= nranks || std::strncmp(id.internal, "nccl-standin-", 13) != 0)
    return ncclInvalidArgument;
  *comm = keep(std::make_unique<ncclComm>(id.internal, nranks, rank));
  return ncclInProgress;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* error) {
  const ncclResult_t allowed = check(comm);
  if (allowed == ncclSuccess) *error = comm->ends->state();
  return allowed;
}

ncclResult_t ncclCommFinalize(ncclComm_t comm) {
  const ncclResult_t allowed = check(comm);
  return allowed == ncclSuccess ? comm->ends->finalize() : allowed;
}

ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  return ncclCommAbort(comm);
}

ncclResult_t ncclCommAbort(ncclComm_t comm) {
  const ncclResult_t allowed = check(comm);
  if (allowed != ncclSuccess) return allowed;
  comm->ends->abort();
  comm->ends.reset();
  return ncclSuccess;
}

const char* ncclGetErrorString(ncclResult_t result) {
  constexpr const char* texts[] = {"no error",
                                   "unhandled cuda error",
                                   "unhandled system error",
                                   "internal error",
                                   "invalid argument",
                                   "invalid usage",
                                   "remote process exited or there was a network error",
                                   "operation in progress"};
  return result < std::size(texts) ? texts[result] : "unknown result code";
}

const char* ncclGetLastError(ncclComm_t comm) {
  return comm && comm->ends ? comm->ends->last_error() : "";
}

ncclResult_t ncclGroupStart() {
  ++depth;
  return ncclSuccess;
}

ncclResult_t ncclGroupEnd() {
  if (depth == 0) return refuse("a group ends that was not started");
  if (--depth > 0) return ncclSuccess;
  std::map<ncclComm_t, std::vector<Call>> calls;
  std::map<ncclComm_t, cudaStream_t> streams;
  for (const GroupCall& added : std::exchange(group, {})) {
    calls[added.comm].push_back(added.call);
    if (streams.emplace(added.comm, added.stream).first->second != added.stream)
      return refuse("a group mixes streams");
  }
  ncclResult_t result = ncclSuccess;
  for (const auto& [comm, of_comm] : calls) {
    const ncclResult_t issued = comm->ends ? comm->ends->issue(of_comm, streams.at(comm)) : check(comm);
    if (result == ncclSuccess || issued != ncclInProgress) result = issued;
  }
  return result;
}

ncclResult_t ncclSend(const void* buffer, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream) {
  return add({comm, {Way::send, const_cast<void*>(buffer), count, type, peer}, stream});
}

ncclResult_t ncclRecv(void* buffer, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream) {
  return add({comm, {Way::receive, buffer, count, type, peer}, stream});
}
