#include "comm/lane_book.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "comm/expect_error.hpp"

namespace lamina {
namespace {

const LaneSpec good{
    .from = 0, .to = 1, .tensors = {{at::kFloat, {8, 3, 4, 4}, at::MemoryFormat::ChannelsLast}}};

LaneBook new_book() {
  return LaneBook(std::make_shared<Bell>(), 0, 2);
}

TEST(LaneBook, RefusesSpecsThatMakeNoSense) {
  const std::pair<const char*, void (*)(LaneSpec&)> spoilers[] = {
      {"no such sender", [](LaneSpec& s) { s.from = -1; }},
      {"no such receiver", [](LaneSpec& s) { s.to = 2; }},
      {"one buffer", [](LaneSpec& s) { s.buffers = 1; }},
      {"no dimension", [](LaneSpec& s) { s.tensors[0] = {at::kFloat, {}}; }},
      {"a negative size", [](LaneSpec& s) { s.tensors[0].sizes[1] = -3; }},
      {"channels-last in two dimensions", [](LaneSpec& s) { s.tensors[0].sizes = {8, 3}; }},
      {"channels-last in three", [](LaneSpec& s) { s.tensors[0].format = at::MemoryFormat::ChannelsLast3d; }},
      {"2 GiB", [](LaneSpec& s) { s.tensors[0].sizes = {1 << 29, 1, 1, 1}; }},
      {"more than 2^63 bytes", [](LaneSpec& s) { s.tensors[0].sizes = {1LL << 40, 1LL << 40, 1, 1}; }},
      {"a header of 2 GiB", [](LaneSpec& s) { s.header_capacity = 1u << 31; }},
  };
  for (const auto& [what, spoil] : spoilers) {
    SCOPED_TRACE(what);
    LaneSpec bad = good;
    spoil(bad);
    expect_error(ErrorKind::contract, [&] { new_book().open({good, bad}); });
  }
  EXPECT_NO_THROW(new_book().open({good, good}));
}

TEST(LaneBook, NamesTheFirstLaneThatAnotherWorkerOpensOtherwise) {
  LaneSpec unlike = good;
  unlike.buffers = 3;
  LaneBook mine = new_book();
  mine.open({good, good, unlike});
  const std::pair<std::vector<LaneSpec>, const char*> others[] = {{{good, unlike, unlike}, "lane 1"},
                                                                  {{unlike, good, unlike}, "lane 0"},
                                                                  {{good, good}, "no further lane"}};
  for (const auto& [lanes, named] : others) {
    LaneBook theirs = new_book();
    theirs.open(lanes);
    try {
      mine.require_same(1, theirs.text());
      ADD_FAILURE() << "found equal: " << named;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(named), std::string::npos) << error.what();
    }
  }
  EXPECT_NO_THROW(mine.require_same(1, mine.text()));
}

}  // namespace
}  // namespace lamina
