// How failures end over NCCL.
#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include <functional>
#include <thread>

#include "comm/contract_traffic.hpp"
#include "comm/expect_error.hpp"
#include "comm/nccl/nccl_workers.hpp"
#include "lamina/core/error.hpp"
#include "standin.hpp"

namespace lamina {
namespace {

using testing::HasSubstr;

// Worker 0 sends, worker 1 receives; worker 0 has the fault from then on.
class NcclFailure : public testing::Test {
 protected:
  ~NcclFailure() override {
    nccl_standin::set_fault({});
    EXPECT_EQ(nccl_standin::num_calls_after_the_end(), 0);
  }

  static void run(nccl_standin::FaultKind fault, const std::function<void(Transport&)>& sender,
                  const std::function<void(Transport&)>& receiver) {
    run_nccl_workers(2, chain_of(2), [&](Transport& t) {
      t.all_gather("", patience);
      if (t.worker() == 0) nccl_standin::set_fault({.kind = fault, .rank = 0, .group = 0});
      t.all_gather("", patience);
      (t.worker() == 0 ? sender : receiver)(t);
      t.abort("the test is over", 0);
    });
  }

  static Error error_of(const std::function<void()>& call) {
    try {
      call();
    } catch (const Error& error) {
      return error;
    }
    return Error(ErrorKind::config, "nothing was thrown");
  }
};

TEST_F(NcclFailure, AStallEndsAtTheLimitAndNamesThePeer) {
  run(
      nccl_standin::FaultKind::stall,
      [](Transport& t) {
        const auto sent = t.send(0, message_of(1));
        const Error error = error_of([&] { sent->wait(moment); });
        EXPECT_EQ(error.kind(), ErrorKind::timeout);
        EXPECT_THAT(error.what(), HasSubstr("worker 1 has not taken message 0 of lane 0"));
        contract::barrier(t);  // who leaves first would be lost to the other
      },
      [](Transport& t) {
        const auto posted = t.receive(0);
        const Error error = error_of([&] { posted->wait(moment); });
        EXPECT_EQ(error.kind(), ErrorKind::timeout);
        EXPECT_THAT(error.what(), HasSubstr("worker 0 has not sent message 0 of lane 0"));
        contract::barrier(t);
      });
}

TEST_F(NcclFailure, ALostPeerIsNamedLongBeforeTheLimit) {
  run(
      nccl_standin::FaultKind::lose,
      [](Transport& t) {
        const auto sent = t.send(0, message_of(1));
        expect_error(ErrorKind::timeout, [&] { sent->wait(moment); });
      },
      [](Transport& t) {
        const auto posted = t.receive(0);
        const Error error = error_of([&] { posted->wait(patience); });
        EXPECT_EQ(error.kind(), ErrorKind::peer_lost);
        EXPECT_THAT(error.what(), HasSubstr("worker 0 has not sent message 0 of lane 0"));
      });
}

TEST_F(NcclFailure, AnAsynchronousErrorAbortsAndNothingStartsAfterwards) {
  run(
      nccl_standin::FaultKind::fail,
      [](Transport& t) {
        const auto sent = t.send(0, message_of(1));
        const Error error = error_of([&] { sent->wait(patience); });
        EXPECT_EQ(error.kind(), ErrorKind::device);
        EXPECT_THAT(error.what(), HasSubstr("told to fail"));
        EXPECT_THAT(error.what(), HasSubstr("worker 1 has not taken message 0 of lane 0"));
        expect_error(ErrorKind::device, [&] { t.send(0, message_of(2)); });
        expect_error(ErrorKind::device, [&] { t.all_gather("", patience); });
      },
      [](Transport& t) {
        const auto posted = t.receive(0);
        expect_error(ErrorKind::peer_lost, [&] { posted->wait(patience); });
      });
}

TEST_F(NcclFailure, AnAbortWakesBothEnds) {
  run(
      nccl_standin::FaultKind::none,
      [](Transport& t) {
        t.abort("the disk is full", 5);
        const Error error = error_of([&] { t.send(0, message_of(1)); });
        EXPECT_EQ(error.kind(), ErrorKind::peer_lost);
        EXPECT_STREQ(error.what(), "the disk is full");
      },
      [](Transport& t) {
        const auto posted = t.receive(0);
        expect_error(ErrorKind::peer_lost, [&] { posted->wait(patience); });
      });
}

TEST_F(NcclFailure, HandlesMayOutliveTheTransport) {
  std::unique_ptr<ReceiveHandle> posted;
  run_nccl_workers(2, chain_of(2), [&](Transport& t) {
    if (t.worker() == 0) t.send(0, message_of(3))->wait(patience);
    if (t.worker() == 1) {
      posted = t.receive(0);
      while (!posted->done()) std::this_thread::yield();
    }
  });
  EXPECT_EQ(value_of(posted->wait(Seconds(0))), 3);
}

}  // namespace
}  // namespace lamina
