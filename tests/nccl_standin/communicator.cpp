#include "communicator.hpp"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <map>
#include <utility>

#include "fault.hpp"

namespace nccl_standin {

namespace {

constexpr std::size_t type_bytes[] = {1, 1, 4, 4, 8, 8, 2, 4, 8, 2};

Way other(Way way) {
  return way == Way::send ? Way::receive : Way::send;
}

}  // namespace

Communicator::Communicator(const std::string& name, int num_ranks, int rank)
    : rank_(rank), peers_(static_cast<std::size_t>(num_ranks)), wire_(name, num_ranks, rank, *this) {}

ncclResult_t Communicator::state() {
  const Lock lock(mutex_);
  return state_;
}

const char* Communicator::last_error() {
  const Lock lock(mutex_);
  return error_.c_str();  // written once, by the first failure
}

ncclResult_t Communicator::issue(const std::vector<Call>& calls, cudaStream_t stream) {
  {
    const Lock lock(mutex_);
    if (state_ != ncclSuccess || finalizing_) {
      fail(ncclInvalidUsage, "a call while another is in progress, or after an error");
      return ncclInvalidUsage;
    }
    Group group{.number = num_issued_++, .operations = {}, .stream = stream};
    for (const Call& call : calls) {
      Peer& peer = peers_[static_cast<std::size_t>(call.peer)];
      group.operations.push_back(std::make_shared<Operation>(Operation{.call = call, .group = group.number}));
      peer.ends[static_cast<int>(call.way)].push_back(group.operations.back());
      wire_.send(call.peer, {.kind = Frame::offer,
                             .way = static_cast<std::uint32_t>(call.way),
                             .type = static_cast<std::uint32_t>(call.type),
                             .count = call.count,
                             .group = group.number});
      match(call.peer);
      require_present(call.peer);
    }
    issued_.push_back(std::move(group));
    if (state_ == ncclSuccess) state_ = ncclInProgress;
  }
  wire_.wake();
  return ncclInProgress;
}

ncclResult_t Communicator::finalize() {
  {
    const Lock lock(mutex_);
    if (state_ != ncclSuccess) return ncclInvalidUsage;
    finalizing_ = true;
    state_ = ncclInProgress;
    for (int peer = 0; peer < num_ranks(); ++peer)
      if (peer != rank_) wire_.send(peer, {.kind = Frame::bye});
  }
  wire_.wake();
  return ncclInProgress;
}

void Communicator::abort() {
  {
    const Lock lock(mutex_);
    aborted_ = true;
    changed_.notify_all();
  }
  wire_.close();
}

void Communicator::fail(ncclResult_t result, const std::string& text) {
  if (!error_.empty()) return;
  state_ = result;
  error_ = "nccl stand-in, rank " + std::to_string(rank_) + ": " + text;
  std::fprintf(stderr, "%s\n", error_.c_str());
}

std::string Communicator::describe(int peer, const Operation& operation) const {
  const Call& call = operation.call;
  return std::string(call.way == Way::send ? "a send to" : "a receive from") + " rank " +
         std::to_string(peer) + " of " + std::to_string(call.count) + " values of type " +
         std::to_string(call.type);
}

void Communicator::connected() {
  const Lock lock(mutex_);
  if (state_ == ncclInProgress) state_ = ncclSuccess;
}

void Communicator::lost(int rank) {
  const Lock lock(mutex_);
  peers_[static_cast<std::size_t>(rank)].is_lost = true;
  require_present(rank);
  changed_.notify_all();
}

// A peer that has gone is missed only by who needs it.
void Communicator::require_present(int rank) {
  const Peer& peer = peers_[static_cast<std::size_t>(rank)];
  for (const Operations& operations : peer.ends)
    if (peer.is_lost && !operations.empty())
      fail(ncclRemoteError,
           "rank " + std::to_string(rank) + " is gone, needed for " + describe(rank, *operations.front()));
}

// The thread of the wire puts groups into their streams once both ends of all their edges have been used.
void Communicator::woken() {
  const Lock lock(mutex_);
  const auto edge_stands = [this](const std::shared_ptr<Operation>& operation) {
    return peers_[static_cast<std::size_t>(operation->call.peer)].has_called;
  };
  while (!issued_.empty() && state_ == ncclInProgress &&
         std::all_of(issued_.front().operations.begin(), issued_.front().operations.end(), edge_stands)) {
    enqueue(issued_.front().stream,
            [self = shared_from_this(), group = std::move(issued_.front())] { self->run(group); });
    issued_.pop_front();
    state_ = ncclSuccess;
  }
  const auto has_left = [this](const Peer& peer) {
    return &peer == &peers_[static_cast<std::size_t>(rank_)] || peer.has_left || peer.is_lost;
  };
  if (finalizing_ && state_ == ncclInProgress && std::all_of(peers_.begin(), peers_.end(), has_left))
    state_ = ncclSuccess;
}

void Communicator::arrived(int rank, const Frame& frame, const std::string& payload) {
  const Lock lock(mutex_);
  Peer& peer = peers_[static_cast<std::size_t>(rank)];
  switch (frame.kind) {
    case Frame::offer:
      peer.has_called = true;
      peer.offers[frame.way].push_back(frame);
      match(rank);
      break;
    case Frame::ready:
      ++peer.num_ready;
      serve_receives(rank);
      break;
    case Frame::data:
      take(rank, payload);
      break;
    case Frame::taken:
      peer.ends[static_cast<int>(Way::send)].front()->state = Operation::State::done;
      peer.ends[static_cast<int>(Way::send)].pop_front();
      break;
    case Frame::bye:
      peer.has_left = true;
      break;
  }
  changed_.notify_all();
}

void Communicator::match(int rank) {
  Peer& peer = peers_[static_cast<std::size_t>(rank)];
  for (const Way way : {Way::send, Way::receive}) {
    std::deque<Frame>& offers = peer.offers[static_cast<int>(other(way))];
    for (const std::shared_ptr<Operation>& mine : peer.ends[static_cast<int>(way)]) {
      if (mine->peer_group >= 0) continue;
      if (offers.empty()) break;
      mine->peer_group = offers.front().group;
      check_pair(rank, *mine, offers.front());
      check_order(rank, *mine);
      offers.pop_front();
    }
  }
  serve_receives(rank);
}

void Communicator::check_pair(int rank, const Operation& mine, const Frame& theirs) {
  if (theirs.count == mine.call.count && theirs.type == static_cast<std::uint32_t>(mine.call.type)) return;
  fail(ncclInvalidUsage, describe(rank, mine) + ", but that rank calls with " + std::to_string(theirs.count) +
                             " values of type " + std::to_string(theirs.type));
}

// Two operations between the same ranks, each before the other at one end and in another group, wait for
// ever.
void Communicator::check_order(int rank, const Operation& newest) {
  for (const Operations& operations : peers_[static_cast<std::size_t>(rank)].ends) {
    for (const std::shared_ptr<Operation>& earlier : operations) {
      if (earlier->peer_group < 0) continue;
      const std::int64_t here = newest.group - earlier->group;
      const std::int64_t there = newest.peer_group - earlier->peer_group;
      if ((here > 0 && there < 0) || (here < 0 && there > 0))
        fail(ncclInvalidUsage, describe(rank, newest) + " and " + describe(rank, *earlier) +
                                   " are called in opposite orders at both ends");
    }
  }
}

// Serves the receives that the peer runs with the sends that this rank runs.
void Communicator::serve_receives(int rank) {
  if (aborted_) return;  // the buffers are not ours any more
  Peer& peer = peers_[static_cast<std::size_t>(rank)];
  for (const std::shared_ptr<Operation>& send : peer.ends[static_cast<int>(Way::send)]) {
    if (send->state == Operation::State::sent) continue;
    if (send->state != Operation::State::running || send->peer_group < 0 || peer.num_ready == 0) return;
    --peer.num_ready;
    send->state = Operation::State::sent;
    wire_.send(rank, {.kind = Frame::data, .num_bytes = send->call.count * type_bytes[send->call.type]},
               send->call.buffer);
  }
}

void Communicator::take(int rank, const std::string& payload) {
  Operations& receives = peers_[static_cast<std::size_t>(rank)].ends[static_cast<int>(Way::receive)];
  const Operation& receive = *receives.front();
  if (aborted_ || payload.size() != receive.call.count * type_bytes[receive.call.type]) return;
  std::memcpy(receive.call.buffer, payload.data(), payload.size());
  receives.front()->state = Operation::State::done;
  receives.pop_front();
  wire_.send(rank, {.kind = Frame::taken});
}

// On the stream's thread, as a kernel would: it ends when all operations have, or by an abort.
void Communicator::run(const Group& group) {
  Lock lock(mutex_);
  changed_.wait(lock, [&] { return aborted_ || num_run_ == group.number; });
  if (!run_into_fault(lock, group.number))
    for (const Operations& batch : batches_of(group)) run_batch(lock, batch);
  ++num_run_;
  changed_.notify_all();
}

// NCCL runs a send and a receive of a group beside each other, but not two on the same connection: the second
// ones wait until all first ones are through, whatever their way.
std::vector<Communicator::Operations> Communicator::batches_of(const Group& group) {
  std::vector<Operations> batches;
  std::map<std::pair<int, Way>, std::size_t> num_before;
  for (const std::shared_ptr<Operation>& operation : group.operations) {
    const std::size_t batch = num_before[{operation->call.peer, operation->call.way}]++;
    if (batch == batches.size()) batches.emplace_back();
    batches[batch].push_back(operation);
  }
  return batches;
}

void Communicator::run_batch(Lock& lock, const Operations& batch) {
  if (aborted_) return;
  for (const std::shared_ptr<Operation>& operation : batch) {
    operation->state = Operation::State::running;
    if (operation->call.way == Way::receive) wire_.send(operation->call.peer, {.kind = Frame::ready});
    serve_receives(operation->call.peer);
  }
  changed_.wait(lock, [&] {
    return aborted_ || std::all_of(batch.begin(), batch.end(),
                                   [](const auto& o) { return o->state == Operation::State::done; });
  });
}

bool Communicator::run_into_fault(Lock& lock, std::int64_t group) {
  const FaultKind fault = fault_of(rank_, group);
  if (fault == FaultKind::none || aborted_) return aborted_;
  if (fault == FaultKind::fail) fail(ncclSystemError, "told to fail");
  if (fault == FaultKind::lose) {
    lock.unlock();
    wire_.close();
    lock.lock();
  }
  changed_.wait(lock, [&] { return aborted_; });
  return true;
}

}  // namespace nccl_standin
