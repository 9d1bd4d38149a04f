// Copies in a side stream, which a thread plays here: it copies when it comes to it, and not within the call.
#include "comm/streamed_copies.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <vector>

namespace lamina {
namespace {

// Copies whose stream begins only once it is let go.
class HeldCopies {
 public:
  HeldCopies() {
    auto side = make_side_stream(at::kCPU);
    side->run([go = go_.get_future().share()] { go.wait(); });
    copies_ = make_streamed_copies(std::move(side));
  }
  HostCopies* operator->() { return copies_.get(); }
  void let_go() { go_.set_value(); }
  void end() { copies_.reset(); }

 private:
  std::promise<void> go_;
  std::unique_ptr<HostCopies> copies_;
};

TEST(StreamedCopies, AreOfTheMomentOfTheCallWhateverIsWrittenBeforeTheyAreMade) {
  HeldCopies held;
  at::Tensor source = at::rand({2, 3, 4, 4}).contiguous(at::MemoryFormat::ChannelsLast);
  const at::Tensor before = source.clone();
  std::promise<std::vector<at::Tensor>> arrived;
  held->download({source}, [&](std::vector<at::Tensor> made) { arrived.set_value(std::move(made)); });
  source.zero_();  // the next update
  auto future = arrived.get_future();
  EXPECT_EQ(future.wait_for(std::chrono::seconds(0)), std::future_status::timeout) << "the call waited";
  held.let_go();
  const std::vector<at::Tensor> copies = future.get();
  ASSERT_EQ(copies.size(), 1u);
  EXPECT_TRUE(at::equal(copies[0], before));
  EXPECT_EQ(copies[0].strides(), before.strides());
}

TEST(StreamedCopies, AreHandedOutInTheOrderOfTheCallsByAThreadOfTheirOwn) {
  const auto copies = make_streamed_copies(make_side_stream(at::kCPU));
  std::vector<std::int64_t> seen;
  std::thread::id by;
  for (std::int64_t i = 0; i < 50; ++i)
    copies->download({at::full({3}, i), at::full({1}, -i)}, [&](const std::vector<at::Tensor>& made) {
      by = std::this_thread::get_id();
      EXPECT_EQ(made[1].item<std::int64_t>(), -made[0][2].item<std::int64_t>());
      seen.push_back(made[0][0].item<std::int64_t>());
    });
  copies->finish();
  ASSERT_EQ(seen.size(), 50u);
  for (std::int64_t i = 0; i < 50; ++i) EXPECT_EQ(seen[static_cast<std::size_t>(i)], i);
  EXPECT_NE(by, std::this_thread::get_id());
}

TEST(StreamedCopies, WhatTheCallerDoesNextSeesWhatWasUploaded) {
  const auto copies = make_streamed_copies(make_side_stream(at::kCPU));
  for (int i = 1; i < 20; ++i) {
    const at::Tensor target = at::zeros({64, 64});
    copies->upload({at::full({64, 64}, i)}, {target});
    EXPECT_EQ(target.sum().item<double>(), 64.0 * 64 * i);
  }
}

TEST(StreamedCopies, WhatDoneThrowsIsThrownByTheNextCall) {
  const auto copies = make_streamed_copies(make_side_stream(at::kCPU));
  copies->download({at::ones({1})}, [](const auto&) { throw std::runtime_error("no room"); });
  EXPECT_THROW(copies->finish(), std::runtime_error);
  EXPECT_THROW(copies->download({at::ones({1})}, [](const auto&) {}), std::runtime_error);
}

// The stream itself comes to its end; what has not been handed out by then no longer is.
TEST(StreamedCopies, NothingIsHandedOutOnceTheEndHasCome) {
  HeldCopies held;
  int called = 0;
  held->download({at::ones({1})}, [&](const auto&) { ++called; });
  std::thread later([&] { held.let_go(); });
  held.end();
  const int at_the_end = called;
  later.join();
  EXPECT_EQ(called, at_the_end);
}

TEST(StreamedCopies, AFewMayBeUnderWayBeforeTheCallerWaits) {
  HeldCopies held;
  int done = 0;
  for (int i = 0; i < 4; ++i) held->download({at::ones({1})}, [&](const auto&) { ++done; });
  auto fifth =
      std::async(std::launch::async, [&] { held->download({at::ones({1})}, [&](const auto&) { ++done; }); });
  held.let_go();
  fifth.get();
  held->finish();
  EXPECT_EQ(done, 5);
}

}  // namespace
}  // namespace lamina
