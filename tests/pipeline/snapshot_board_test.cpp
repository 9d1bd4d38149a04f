#include "lamina/pipeline/snapshot_board.hpp"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <thread>
#include <vector>

#include "comm/expect_error.hpp"

namespace lamina {
namespace {

using testing::HasSubstr;

constexpr Seconds kNever{60};

SnapshotBoard::SnapshotPtr snapshot(const std::string& part, std::int64_t version) {
  return std::make_shared<const Snapshot>(
      Snapshot{.part = part, .version = version, .tensors = {at::full({4}, version)}});
}

std::vector<std::int64_t> versions(const SnapshotBoard& board, const std::string& part) {
  std::vector<std::int64_t> found;
  for (const auto& each : board.held(part)) found.push_back(each->version);
  return found;
}

TEST(SnapshotBoard, HasNothingBeforeTheFirstVersion) {
  const SnapshotBoard board(2);
  EXPECT_EQ(board.latest("a"), nullptr);
  EXPECT_TRUE(board.held("a").empty());
}

TEST(SnapshotBoard, HandsOutTheVerySnapshotThatWasPublished) {
  SnapshotBoard board(2);
  const auto first = snapshot("a", 0);
  board.publish(first);
  EXPECT_EQ(board.latest("a"), first);
  EXPECT_EQ(board.at("a", 0, Seconds(0)), first);
}

TEST(SnapshotBoard, HoldsTheNewestVersionsOfEachPartAndNoMore) {
  SnapshotBoard board(3);
  for (std::int64_t version = 0; version < 10; ++version) board.publish(snapshot("a", version));
  board.publish(snapshot("b", 4));
  EXPECT_EQ(versions(board, "a"), (std::vector<std::int64_t>{7, 8, 9}));
  EXPECT_EQ(versions(board, "b"), (std::vector<std::int64_t>{4}));
  EXPECT_EQ(board.latest("a")->version, 9);
}

TEST(SnapshotBoard, FreesAVersionThatHasGoneAndThatNobodyHolds) {
  SnapshotBoard board(1);
  std::weak_ptr<const Snapshot> first;
  {
    const auto published = snapshot("a", 0);
    first = published;
    board.publish(published);
  }
  EXPECT_FALSE(first.expired());
  board.publish(snapshot("a", 1));
  EXPECT_TRUE(first.expired());
}

TEST(SnapshotBoard, ReaderKeepsItsSnapshotWhileNewerOnesArrive) {
  SnapshotBoard board(1);
  board.publish(snapshot("a", 3));
  const auto mine = board.latest("a");
  for (std::int64_t version = 4; version < 9; ++version) board.publish(snapshot("a", version));
  EXPECT_EQ(mine->version, 3);
  EXPECT_TRUE(at::equal(mine->tensors[0], at::full({4}, 3)));
}

TEST(SnapshotBoard, VersionsOfAPartOnlyGrow) {
  SnapshotBoard board(2);
  board.publish(snapshot("a", 5));
  expect_error(ErrorKind::contract, [&] { board.publish(snapshot("a", 5)); });
  expect_error(ErrorKind::contract, [&] { board.publish(snapshot("a", 4)); });
  board.publish(snapshot("b", 4));
  EXPECT_EQ(versions(board, "a"), (std::vector<std::int64_t>{5}));
}

TEST(SnapshotBoard, WaitsForExactlyTheVersionThatIsAskedFor) {
  SnapshotBoard board(4);
  board.publish(snapshot("a", 0));
  auto reader = std::async(std::launch::async, [&] { return board.at("a", 2, kNever)->version; });
  board.publish(snapshot("b", 2));
  board.publish(snapshot("a", 1));
  board.publish(snapshot("a", 2));
  board.publish(snapshot("a", 3));
  EXPECT_EQ(reader.get(), 2);
}

TEST(SnapshotBoard, AVersionThatHasGoneIsAnErrorAtOnce) {
  SnapshotBoard board(2);
  for (std::int64_t version = 0; version < 4; ++version) board.publish(snapshot("a", version));
  expect_error(ErrorKind::contract, [&] { board.at("a", 1, kNever); });
}

TEST(SnapshotBoard, AVersionThatWasSkippedIsAnErrorAtOnce) {
  SnapshotBoard board(2);
  board.publish(snapshot("a", 0));
  board.publish(snapshot("a", 10));
  expect_error(ErrorKind::contract, [&] { board.at("a", 5, kNever); });
}

TEST(SnapshotBoard, AReaderLearnsThatItsVersionIsSkippedWhileItWaits) {
  SnapshotBoard board(2);
  auto reader = std::async(std::launch::async,
                           [&] { expect_error(ErrorKind::contract, [&] { board.at("a", 5, kNever); }); });
  board.publish(snapshot("a", 6));
  reader.get();
}

TEST(SnapshotBoard, TimeoutSaysWhatWasAwaitedAndTheNewestHeld) {
  SnapshotBoard board(2);
  board.publish(snapshot("ema.layer3.0", 7));
  try {
    board.at("ema.layer3.0", 8, Seconds(0.01));
    FAIL() << "it did not time out";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::timeout);
    EXPECT_THAT(error.what(), HasSubstr("version 8 of ema.layer3.0"));
    EXPECT_THAT(error.what(), HasSubstr("version 7"));
  }
}

TEST(SnapshotBoard, CloseWakesEveryWaiterWithTheFirstReason) {
  SnapshotBoard board(2);
  std::vector<std::future<std::string>> readers;
  for (const char* part : {"a", "b", "c"}) {
    readers.push_back(std::async(std::launch::async, [&board, part]() -> std::string {
      try {
        board.at(part, 0, kNever);
        return "nothing was thrown";
      } catch (const Error& error) {
        return error.kind() == ErrorKind::peer_lost ? error.what() : "another kind";
      }
    }));
  }
  board.close("the disk is full");
  board.close("a second reason");
  for (auto& reader : readers) EXPECT_EQ(reader.get(), "the disk is full");
}

TEST(SnapshotBoard, WhatIsThereCanBeReadAfterTheEnd) {
  SnapshotBoard board(2);
  board.publish(snapshot("a", 1));
  board.close("over");
  EXPECT_EQ(board.at("a", 1, Seconds(0))->version, 1);
  EXPECT_EQ(board.latest("a")->version, 1);
  expect_error(ErrorKind::peer_lost, [&] { board.at("a", 2, kNever); });
}

TEST(SnapshotBoard, ABoardWithoutRoomIsRefused) {
  expect_error(ErrorKind::contract, [] { SnapshotBoard board(0); });
}

// Readers in step with the writer, as under a fixed lag, and readers that take what there is.
TEST(SnapshotBoard, ServesManyThreadsAtOnce) {
  constexpr std::int64_t kVersions = 300;
  constexpr std::int64_t kDepth = 4;
  SnapshotBoard board(kDepth);
  std::atomic<std::int64_t> steps_read = 0;
  std::vector<std::jthread> readers;
  readers.emplace_back([&] {
    for (std::int64_t step = 0; step < kVersions; ++step) {
      EXPECT_TRUE(at::equal(board.at("a", step, kNever)->tensors[0], at::full({4}, step)));
      steps_read = step + 1;
      steps_read.notify_all();
    }
  });
  readers.emplace_back([&] {
    std::int64_t newest = -1;
    while (newest < kVersions - 1) {
      const auto latest = board.latest("a");
      const std::int64_t version = latest ? latest->version : -1;
      EXPECT_GE(version, newest);
      newest = version;
    }
  });
  for (std::int64_t version = 0; version < kVersions; ++version) {
    for (std::int64_t read = steps_read; read + kDepth <= version; read = steps_read) steps_read.wait(read);
    board.publish(snapshot("a", version));
  }
}

TEST(SnapshotBoard, ANewLineForgetsWhatTheAbandonedOneHadPublishedOnce) {
  SnapshotBoard board(2);
  board.publish(snapshot("a", 7));
  board.begin_line(1);
  EXPECT_EQ(board.latest("a"), nullptr);
  board.publish(snapshot("a", 3));  // older numbers come again
  board.begin_line(1);              // a worker that is late
  EXPECT_THAT(versions(board, "a"), testing::ElementsAre(3));
  board.begin_line(2);
  EXPECT_TRUE(board.held("a").empty());
}

}  // namespace
}  // namespace lamina
