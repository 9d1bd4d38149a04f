#include "lamina/core/mailbox.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <numeric>
#include <thread>
#include <vector>

namespace lamina {
namespace {

TEST(Mailbox, GivesItemsInTheOrderInWhichTheyCame) {
  Mailbox<int> box(2);
  std::jthread writer([&] {
    for (int i = 0; i < 1000; ++i) box.put(i);
    box.close();
  });
  std::vector<int> taken;
  while (const auto item = box.take()) taken.push_back(*item);
  std::vector<int> sent(1000);
  std::iota(sent.begin(), sent.end(), 0);
  EXPECT_EQ(taken, sent);
}

TEST(Mailbox, NeverHoldsMoreThanItsCapacity) {
  constexpr int kCapacity = 3;
  Mailbox<int> box(kCapacity);
  std::atomic<int> num_put = 0;
  std::jthread writer([&] {
    for (int i = 0; i < 500; ++i) {
      box.put(i);
      ++num_put;
    }
    box.close();
  });
  int num_taken = 0;
  while (box.take()) {
    // The writer counts only after put() has returned, so it can be behind the box but not ahead of it.
    EXPECT_LE(num_put.load(), ++num_taken + kCapacity);
  }
  EXPECT_EQ(num_taken, 500);
}

TEST(Mailbox, LosesNothingBetweenManyThreads) {
  constexpr int kThreads = 4;
  constexpr int kItems = 500;
  Mailbox<int> box(2);
  std::atomic<long> sum = 0;
  {
    std::vector<std::jthread> readers;
    for (int t = 0; t < kThreads; ++t) {
      readers.emplace_back([&] {
        while (const auto item = box.take()) sum += *item;
      });
    }
    {
      std::vector<std::jthread> writers;
      for (int t = 0; t < kThreads; ++t) {
        writers.emplace_back([&, t] {
          for (int i = 0; i < kItems; ++i) box.put(t * kItems + i);
        });
      }
    }
    box.close();
  }
  constexpr long kTotal = kThreads * kItems;
  EXPECT_EQ(sum, kTotal * (kTotal - 1) / 2);
}

TEST(Mailbox, StillGivesWhatWasInsideWhenItWasClosed) {
  Mailbox<int> box(3);
  box.put(1);
  box.put(2);
  box.close();
  EXPECT_FALSE(box.put(3));
  EXPECT_EQ(box.take(), 1);
  EXPECT_EQ(box.take(), 2);
  EXPECT_EQ(box.take(), std::nullopt);
}

TEST(Mailbox, CloseWakesAReaderAndAWriter) {
  Mailbox<int> empty(1);
  Mailbox<int> full(1);
  full.put(0);
  bool was_put = true;
  std::optional<int> taken = 0;
  {
    std::jthread reader([&] { taken = empty.take(); });
    std::jthread writer([&] { was_put = full.put(1); });
    empty.close();
    full.close();
  }
  EXPECT_FALSE(was_put);
  EXPECT_EQ(taken, std::nullopt);
}

TEST(Mailbox, MovesItemsThatCannotBeCopied) {
  Mailbox<std::unique_ptr<int>> box(1);
  box.put(std::make_unique<int>(7));
  const auto item = box.take();
  ASSERT_TRUE(item.has_value());
  EXPECT_THAT(*item, testing::Pointee(7));
}

}  // namespace
}  // namespace lamina
