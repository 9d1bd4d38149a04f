#include "comm/exchange_outbox.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "comm/exchange_peers.hpp"
#include "comm/expect_error.hpp"

namespace lamina {
namespace {

Frame frame(const std::string& part, std::int64_t version) {
  return snapshot_frame(snapshot_of(part, version, {at::zeros({2})}));
}

// What is in line, e.g. "a3 b7".
std::string rest(ExchangeOutbox& box) {
  std::string line;
  while (const auto next = box.take()) {
    line += (line.empty() ? "" : " ") + next->snapshot->part + std::to_string(next->head.version);
  }
  return line;
}

TEST(ExchangeOutbox, ANewerSnapshotTakesThePlaceInLineOfTheOlder) {
  ExchangeOutbox box(true, 1);
  for (std::int64_t version = 0; version < 4; ++version) {
    box.put(frame("a", version));
    box.put(frame("b", version));
  }
  EXPECT_EQ(rest(box), "a3 b3");
}

TEST(ExchangeOutbox, KeepsEverySnapshotInOrderWhereNothingIsDropped) {
  ExchangeOutbox box(false, 2);
  box.put(frame("a", 0));
  box.put(frame("b", 0));
  box.put(frame("a", 1));
  EXPECT_EQ(rest(box), "a0 b0 a1");
}

TEST(ExchangeOutbox, DepthBoundsEachPartByItself) {
  ExchangeOutbox box(false, 2);
  box.put(frame("a", 0));
  box.put(frame("a", 1));
  expect_error(ErrorKind::contract, [&] { box.put(frame("a", 2)); });
  box.put(frame("b", 2));
  box.take();
  box.put(frame("a", 3));
  EXPECT_EQ(rest(box), "a1 b2 a3");
}

TEST(ExchangeOutbox, CloseKeepsWhatMustBeSentAndDropsWhatNeedNot) {
  for (const bool newest_wins : {false, true}) {
    ExchangeOutbox box(newest_wins, 1);
    box.put(frame("a", 0));
    box.close();
    box.put(frame("b", 0));
    EXPECT_EQ(rest(box), newest_wins ? "" : "a0");
  }
}

TEST(ExchangeOutbox, DropKeepsNothing) {
  ExchangeOutbox box(false, 1);
  box.put(frame("a", 0));
  box.drop();
  box.put(frame("a", 1));
  EXPECT_EQ(rest(box), "");
}

}  // namespace
}  // namespace lamina
