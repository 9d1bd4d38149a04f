// How the NCCL stand-in moves data: what it promises, and what it lets wait.
#include "standin.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <numeric>

#include "ranks.hpp"

namespace nccl_standin {
namespace {

using Values = std::vector<float>;

Values counted_from(float first, std::size_t size = 100) {
  Values values(size);
  std::iota(values.begin(), values.end(), first);
  return values;
}

TEST(NcclStandin, SaysThatItIsNoNccl) {
  int version = 0;
  EXPECT_EQ(ncclGetVersion(&version), ncclSuccess);
  EXPECT_EQ(version, 29900);
  ncclUniqueId id;
  EXPECT_EQ(ncclGetUniqueId(&id), ncclSuccess);
  EXPECT_STREQ(std::string(id.internal, 13).c_str(), "nccl-standin-");
}

TEST(NcclStandin, AllRanksExchangeInOneGroup) {
  run_ranks(4, [](Rank& rank) {
    Values sent[4];
    Values received[4];
    std::vector<Rank::Step> steps;
    for (int peer = 0; peer < 4; ++peer) {
      if (peer == rank.number) continue;
      sent[peer] = counted_from(static_cast<float>(1000 * rank.number + peer), 70000);
      received[peer].resize(70000);
      steps.push_back({.to = peer, .buffer = &sent[peer]});
      steps.push_back({.from = peer, .buffer = &received[peer]});
    }
    ASSERT_TRUE(rank.perform(steps));
    for (int peer = 0; peer < 4; ++peer) {
      if (peer == rank.number) continue;
      EXPECT_EQ(received[peer], counted_from(static_cast<float>(1000 * peer + rank.number), 70000));
    }
  });
}

TEST(NcclStandin, OperationsOnAPeerKeepTheirOrder) {
  run_ranks(2, [](Rank& rank) {
    Values values[3] = {counted_from(0), counted_from(100), counted_from(200)};
    if (rank.number == 0) {
      ASSERT_TRUE(rank.perform({{.to = 1, .buffer = &values[0]}, {.to = 1, .buffer = &values[1]}}));
      ASSERT_TRUE(rank.perform({{.to = 1, .buffer = &values[2]}}));
      return;
    }
    Values received[3] = {Values(100), Values(100), Values(100)};
    ASSERT_TRUE(rank.perform({{.from = 0, .buffer = &received[0]}}));
    ASSERT_TRUE(rank.perform({{.from = 0, .buffer = &received[1]}, {.from = 0, .buffer = &received[2]}}));
    for (int i = 0; i < 3; ++i) EXPECT_EQ(received[i], values[i]);
  });
}

// Rank 0 sends some pieces and, in the same group, receives what rank 1 answers once it has them.
bool an_answer_comes_in_the_same_group(std::size_t num_pieces) {
  std::atomic<int> num_through = 0;
  const Milliseconds limit = num_pieces == 1 ? patience : moment;
  // Not the ranks' own, as their streams use them until a communicator is aborted.
  Values pieces[2] = {Values(1), Values(1)};
  Values answers[2] = {Values(1), Values(1)};
  run_ranks(2, [&](Rank& rank) {
    use_edge(rank, 0, 1);
    use_edge(rank, 1, 0);
    Values& piece = pieces[rank.number];
    Values& answer = answers[rank.number];
    if (rank.number == 0) {
      std::vector<Rank::Step> steps(num_pieces, {.to = 1, .buffer = &piece});
      steps.push_back({.from = 1, .buffer = &answer});
      num_through += rank.perform(steps, limit);
    } else {
      const std::vector<Rank::Step> steps(num_pieces, {.from = 0, .buffer = &piece});
      num_through += rank.perform(steps, limit) && rank.perform({{.to = 0, .buffer = &answer}}, limit);
    }
  });
  return num_through == 2;
}

TEST(NcclStandin, ASecondSendOfAGroupWaitsForItsFirstReceive) {
  EXPECT_TRUE(an_answer_comes_in_the_same_group(1));
  EXPECT_FALSE(an_answer_comes_in_the_same_group(2));
}

TEST(NcclStandin, ASmallSendWaitsForItsReceive) {
  std::atomic<bool> looked = false;
  run_ranks(2, [&](Rank& rank) {
    use_edge(rank, 0, 1);
    Values value(1);
    if (rank.number == 0) {
      EXPECT_FALSE(rank.perform({{.to = 1, .buffer = &value}}, moment));
      looked = true;
      EXPECT_TRUE(rank.stream_ends());
    } else {
      ASSERT_TRUE(comes_true([&] { return looked.load(); }));
      EXPECT_TRUE(rank.perform({{.from = 0, .buffer = &value}}));
    }
  });
}

TEST(NcclStandin, TheFirstUseOfAnEdgeIsInProgressUntilBothEndsUseIt) {
  std::atomic<bool> looked = false;
  run_ranks(2, [&](Rank& rank) {
    Values value(1);
    if (rank.number == 0) {
      EXPECT_EQ(rank.call({.to = 1, .buffer = &value}), ncclInProgress);
      EXPECT_EQ(rank.settle(moment), ncclInProgress);
      EXPECT_TRUE(rank.stream_ends()) << "an event recorded by now must not stand for the send";
      looked = true;
      EXPECT_EQ(rank.settle(), ncclSuccess);
      EXPECT_TRUE(rank.stream_ends());
    } else {
      ASSERT_TRUE(comes_true([&] { return looked.load(); }));
      EXPECT_TRUE(rank.perform({{.from = 0, .buffer = &value}}));
    }
  });
}

TEST(NcclStandin, AnotherStreamIsHeldBackToo) {
  std::atomic<bool> looked = false;
  run_ranks(3, [&](Rank& rank) {
    use_edge(rank, 0, 1);
    use_edge(rank, 1, 2);
    Values value(1);
    if (rank.number == 0) {
      ASSERT_TRUE(comes_true([&] { return looked.load(); }));
      EXPECT_TRUE(rank.perform({{.to = 1, .buffer = &value}}));
    } else if (rank.number == 1) {
      const cudaStream_t other = create_stream();
      EXPECT_EQ(rank.call({.from = 0, .buffer = &value}), ncclInProgress);
      EXPECT_EQ(rank.settle(), ncclSuccess);
      EXPECT_EQ(ncclSend(value.data(), 1, ncclFloat32, 2, rank.comm, other), ncclInProgress);
      EXPECT_EQ(rank.settle(), ncclSuccess);
      const auto sent = record(other);
      EXPECT_FALSE(comes_true([&] { return sent->done(); }, moment));
      looked = true;
      EXPECT_TRUE(comes_true([&] { return sent->done(); }));
      destroy_stream(other);
    } else {
      EXPECT_TRUE(rank.perform({{.from = 1, .buffer = &value}}));
    }
  });
}

TEST(NcclStandin, FinalizeWaitsForTheOthers) {
  std::atomic<bool> looked = false;
  run_ranks(2, [&](Rank& rank) {
    if (rank.number == 1) {
      ASSERT_TRUE(comes_true([&] { return looked.load(); }));
    }
    EXPECT_EQ(ncclCommFinalize(rank.comm), ncclInProgress);
    if (rank.number == 0) {
      EXPECT_EQ(rank.settle(moment), ncclInProgress);
      looked = true;
    }
    EXPECT_EQ(rank.settle(), ncclSuccess);
    EXPECT_EQ(ncclCommDestroy(rank.comm), ncclSuccess);
    rank.comm = nullptr;
  });
}

}  // namespace
}  // namespace nccl_standin
