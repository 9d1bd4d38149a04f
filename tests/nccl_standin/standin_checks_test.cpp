// What the NCCL stand-in complains of, and the faults that it has on command.
#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>

#include "ranks.hpp"
#include "standin.hpp"

namespace nccl_standin {
namespace {

using Values = std::vector<float>;

// Both ranks must come to this state, and stay until both have.
void expect_state(const Rank& rank, ncclResult_t expected, std::atomic<int>& num_there) {
  ncclResult_t state = ncclSuccess;
  EXPECT_TRUE(comes_true([&] { return ncclCommGetAsyncError(rank.comm, &state), state == expected; }))
      << "rank " << rank.number << " is at " << ncclGetErrorString(state);
  ++num_there;
  EXPECT_TRUE(comes_true([&] { return num_there == 2; }));
}

void expect_invalid_usage(const Rank::Step& send, const Rank::Step& receive) {
  std::atomic<int> num_there = 0;
  run_ranks(2, [&](Rank& rank) {
    EXPECT_EQ(rank.call(rank.number == 0 ? send : receive), ncclInProgress);
    expect_state(rank, ncclInvalidUsage, num_there);
  });
}

TEST(NcclStandinChecks, CountsThatDiffer) {
  Values ten(10);
  Values eleven(11);
  expect_invalid_usage({.to = 1, .buffer = &ten}, {.from = 0, .buffer = &eleven});
}

TEST(NcclStandinChecks, TypesThatDiffer) {
  Values ten(10);
  Values another_ten(10);
  expect_invalid_usage({.to = 1, .buffer = &ten}, {.from = 0, .buffer = &another_ten, .type = ncclInt32});
}

TEST(NcclStandinChecks, OppositeOrdersAtBothEnds) {
  std::atomic<int> num_there = 0;
  run_ranks(2, [&](Rank& rank) {
    Values value(1);
    const int peer = 1 - rank.number;
    ASSERT_TRUE(rank.perform({{.to = peer, .buffer = &value}, {.from = peer, .buffer = &value}}));
    EXPECT_EQ(rank.call({.to = peer, .buffer = &value}), ncclInProgress);
    ASSERT_EQ(rank.settle(), ncclSuccess);
    rank.call({.from = peer, .buffer = &value});
    expect_state(rank, ncclInvalidUsage, num_there);
    EXPECT_NE(std::string(ncclGetLastError(rank.comm)).find("opposite orders"), std::string::npos);
  });
}

TEST(NcclStandinChecks, ACallWhileAnotherIsInProgress) {
  run_ranks(2, [](Rank& rank) {
    Values value(1);
    if (rank.number == 1) return;
    EXPECT_EQ(rank.call({.to = 1, .buffer = &value}), ncclInProgress);
    EXPECT_EQ(rank.call({.to = 1, .buffer = &value}), ncclInvalidUsage);
  });
}

TEST(NcclStandinChecks, CallsAfterTheEnd) {
  run_ranks(2, [](Rank& rank) {
    if (rank.number == 1) return;
    const int before = num_calls_after_the_end();
    const ncclComm_t gone = rank.comm;
    rank.abort();
    Values value(1);
    ncclResult_t state = ncclSuccess;
    EXPECT_EQ(ncclSend(value.data(), 1, ncclFloat32, 1, gone, rank.stream), ncclInvalidUsage);
    EXPECT_EQ(ncclCommGetAsyncError(gone, &state), ncclInvalidUsage);
    EXPECT_EQ(ncclCommAbort(gone), ncclInvalidUsage);
    EXPECT_EQ(num_calls_after_the_end(), before + 3);
  });
}

TEST(NcclStandinChecks, ASecondThread) {
  run_ranks(1, [](Rank& rank) {
    ncclResult_t found = ncclSuccess;
    std::thread([&] {
      ncclResult_t state = ncclSuccess;
      found = ncclCommGetAsyncError(rank.comm, &state);
    }).join();
    EXPECT_EQ(found, ncclInvalidUsage);
  });
}

TEST(NcclStandinChecks, WhatItDoesNotPlay) {
  ncclUniqueId id;
  ncclGetUniqueId(&id);
  ncclComm_t comm = nullptr;
  ncclConfig_t blocking = NCCL_CONFIG_INITIALIZER;
  EXPECT_EQ(ncclCommInitRankConfig(&comm, 1, id, 0, &blocking), ncclInvalidArgument);
  ncclConfig_t config{.blocking = 0};
  EXPECT_EQ(ncclCommInitRankConfig(&comm, 1, {}, 0, &config), ncclInvalidArgument);
  EXPECT_EQ(ncclGroupEnd(), ncclInvalidUsage);
}

class NcclStandinFaults : public testing::Test {
 protected:
  ~NcclStandinFaults() override { set_fault({}); }

  // Rank 0 has the fault in its second group; both stand still, in these states, until they abort.
  void expect_states(FaultKind kind, ncclResult_t expected_there, ncclResult_t expected_here) {
    set_fault({.kind = kind, .rank = 0, .group = 1});
    std::atomic<int> num_looked = 0;
    run_ranks(2, [&](Rank& rank) {
      Values value(1);
      const Rank::Step step{.to = rank.number == 0 ? 1 : -1, .from = 0, .buffer = &value};
      ASSERT_TRUE(rank.perform({step}));
      EXPECT_FALSE(rank.perform({step}, moment)) << "rank " << rank.number;
      ncclResult_t state = ncclSuccess;
      ncclCommGetAsyncError(rank.comm, &state);
      EXPECT_EQ(state, rank.number == 0 ? expected_there : expected_here) << "rank " << rank.number;
      ++num_looked;
      EXPECT_TRUE(comes_true([&] { return num_looked == 2; }));
      rank.abort();
      EXPECT_TRUE(rank.stream_ends()) << "an abort must free the stream";
    });
  }
};

TEST_F(NcclStandinFaults, AStallIsNoError) {
  expect_states(FaultKind::stall, ncclSuccess, ncclSuccess);
}

TEST_F(NcclStandinFaults, AFailureIsAnErrorThere) {
  expect_states(FaultKind::fail, ncclSystemError, ncclSuccess);
}

TEST_F(NcclStandinFaults, ALossIsAnErrorAtThePeer) {
  expect_states(FaultKind::lose, ncclSuccess, ncclRemoteError);
}

}  // namespace
}  // namespace nccl_standin
