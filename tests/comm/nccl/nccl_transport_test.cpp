// What is NCCL's own: the order of what is issued.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <atomic>
#include <optional>
#include <thread>

#include "comm/expect_error.hpp"
#include "comm/nccl/nccl_workers.hpp"
#include "comm/nccl_version.hpp"
#include "lamina/comm/inprocess.hpp"
#include "lamina/comm/nccl.hpp"

namespace lamina {
namespace {

TEST(NcclTransport, AReceivePostedAheadHoldsNoSendBack) {
  run_nccl_workers(3, chain_of(3), [](Transport& t) {
    if (t.worker() == 1) {
      const auto ahead = t.receive(0);
      const auto sent = t.send(1, message_of(1));
      t.all_gather("worker 2 has it", patience);
      EXPECT_EQ(value_of(ahead->wait(patience)), 2);
      sent->wait(patience);
      return;
    }
    if (t.worker() == 2) {
      EXPECT_EQ(value_of(t.receive(1)->wait(patience)), 1);
    }
    t.all_gather("", patience);
    if (t.worker() == 0) t.send(0, message_of(2))->wait(patience);
  });
}

TEST(NcclTransport, AWorkerThatSendsNothingReceivesAhead) {
  run_nccl_workers(2, chain_of(2), [](Transport& t) {
    if (t.worker() == 0) {
      t.send(0, message_of(1))->wait(patience);
      t.all_gather("sent", patience);
      return;
    }
    const auto ahead = t.receive(0);
    t.all_gather("nobody has asked for it", patience);
    EXPECT_EQ(value_of(ahead->wait(patience)), 1);
  });
}

TEST(NcclTransport, WhereComputingFeedsBackNobodyReceivesAhead) {
  run_nccl_workers(2, chain_of(2),
                   [](Transport& t) {
                     if (t.worker() == 0) {
                       const auto sent = t.send(0, message_of(1));
                       t.all_gather("nobody has asked for it", patience);
                       expect_error(ErrorKind::timeout, [&] { sent->wait(moment); });
                       t.all_gather("nor has it been taken", patience);
                       return sent->wait(patience);
                     }
                     const auto ahead = t.receive(0);
                     t.all_gather("nobody has asked for it", patience);
                     t.all_gather("nor has it been taken", patience);
                     EXPECT_EQ(value_of(ahead->wait(patience)), 1);
                   },
                   {.feeds_back = true});
}

// Workers 0 and 1 add up in every step, as replicas do, and worker 1 receives ahead what worker 2 sends only
// after that sum: in the queue it must come behind.
TEST(NcclTransport, AReceivePostedAheadHoldsNoSumBack) {
  const std::vector<LaneSpec> lanes{{.from = 2, .to = 1, .tensors = {}}};
  run_nccl_workers(3, lanes,
                   [](Transport& t) {
                     if (t.worker() == 2) {
                       t.all_gather("they have added up", patience);
                       t.send(0, {})->wait(patience);
                       return;
                     }
                     const auto ahead = t.worker() == 1 ? t.receive(0) : nullptr;
                     const auto sums = t.sum({0, 1}, {at::ones({3})})->wait(patience);
                     EXPECT_TRUE(sums.at(0).equal(at::full({3}, 2.0f)));
                     t.all_gather("", patience);
                     if (ahead) ahead->wait(patience);
                   },
                   {.sums = true});
}

// A worker with two lanes out and one in: what it sends on the second is not held back by the receive that
// goes with the first, even if nothing comes on that before all has been taken.
TEST(NcclTransport, SendsGoTogetherWithTheReceiveThatIsAskedFor) {
  const std::vector<LaneSpec> lanes{{.from = 0, .to = 1, .tensors = {}},
                                    {.from = 1, .to = 2, .tensors = {}},
                                    {.from = 1, .to = 3, .tensors = {}}};
  std::atomic<int> num_taken = 0;
  run_nccl_workers(4, lanes, [&](Transport& t) {
    if (t.worker() == 0) {
      while (num_taken < 2) std::this_thread::yield();
      t.send(0, {})->wait(patience);
    } else if (t.worker() == 1) {
      const auto ahead = t.receive(0);
      t.send(1, {});
      t.send(2, {});
      ahead->wait(patience);
    } else {
      t.receive(t.worker() - 1)->wait(patience);
      ++num_taken;
    }
  });
}

TEST(NcclTransport, SumsMustHaveBeenAnnounced) {
  run_nccl_workers(
      1, {}, [](Transport& t) { expect_error(ErrorKind::contract, [&] { t.sum({0}, {at::ones({3})}); }); });
}

TEST(NcclTransport, AskingWhetherAReceiveIsDoneIssuesIt) {
  run_nccl_workers(3, chain_of(3), [](Transport& t) {
    if (t.worker() == 0) t.send(0, message_of(1))->wait(patience);
    if (t.worker() != 1) return;
    const auto posted = t.receive(0);
    while (!posted->done()) std::this_thread::yield();
  });
}

TEST(NcclTransport, WhatIsSentIsCopiedAtOnce) {
  run_nccl_workers(2, chain_of(2), [](Transport& t) {
    if (t.worker() == 1) {
      EXPECT_EQ(value_of(t.receive(0)->wait(patience)), 1);
      return;
    }
    Message sent = message_of(1);
    const auto handle = t.send(0, sent);
    sent.tensors[0].zero_();
    handle->wait(patience);
  });
}

TEST(NcclTransport, OtherOrdersOfLanesAtBothEndsAreFound) {
  std::vector<LaneSpec> lanes = chain_of(2);
  lanes.push_back({.from = 0, .to = 1, .tensors = {}});
  run_nccl_workers(2, lanes, [](Transport& t) {
    expect_error(ErrorKind::contract, [&] {
      if (t.worker() == 0) {
        const auto first = t.send(0, message_of(1));
        const auto second = t.send(1, {});
        first->wait(patience);
      } else {
        t.receive(1)->wait(patience);
      }
    });
  });
}

TEST(NcclTransport, LanesMustBeOpenedAlikeByAll) {
  auto hosts = make_inprocess_transports(2);
  std::vector<std::jthread> threads;
  for (auto& host : hosts) {
    threads.emplace_back([&host] {
      std::vector<LaneSpec> lanes = chain_of(2);
      lanes[0].buffers += host->worker();
      const auto t = make_nccl_transport(std::move(host), {.device = at::kCPU});
      std::optional<Error> found;
      try {
        t->open(lanes);
      } catch (const Error& error) {
        found = error;
      }
      EXPECT_TRUE(t->worker() == 0 || (found && found->kind() == ErrorKind::contract));
    });
  }
}

TEST(NcclTransport, AWorkerThatStaysAwayIsMissedAtTheOpening) {
  auto hosts = make_inprocess_transports(2);
  const auto t = make_nccl_transport(std::move(hosts[0]), {.device = at::kCPU, .open_limit = moment});
  expect_error(ErrorKind::timeout, [&] { t->open(chain_of(2)); });
}

TEST(NcclTransport, TellsItsVersion) {
  EXPECT_EQ(nccl_version(), "2.99.0");
  EXPECT_EQ(nccl_version_text(23007), "2.30.7");
}

TEST(NcclTransport, KnowsTheBadVersions) {
  for (const int bad : {22803, 22807, 22808}) EXPECT_TRUE(is_bad_nccl_version(bad)) << bad;
  for (const int good : {22802, 22809, 23007}) EXPECT_FALSE(is_bad_nccl_version(good)) << good;
}

}  // namespace
}  // namespace lamina
