#include "pipeline/device_spans.hpp"

#include <gtest/gtest.h>

#include <future>

#include "fake_device.hpp"
#include "lamina/comm/device.hpp"

namespace lamina {
namespace {

TEST(DeviceSpans, AreOfWhatTheDeviceDoesOnceItHasDoneIt) {
  const OwnStream own(fake_device::device);
  Timeline timeline;
  DeviceSpans spans(fake_device::device);
  std::promise<void> entered, open;
  for (int step = 0; step < 2; ++step) {
    spans.begin();
    if (step == 1)
      fake_device::enqueue([&entered, opened = open.get_future().share()] {
        entered.set_value();
        opened.wait();
      });
    spans.end({.step = step, .stage = 3, .op = Op::backward});
    if (step == 0) fake_device::synchronize();
  }
  entered.get_future().wait();
  spans.add_to(timeline);
  ASSERT_EQ(timeline.spans().size(), 1U);
  const Clock::time_point still_closed = Clock::now();
  spans.add_to(timeline);
  open.set_value();
  fake_device::synchronize();
  spans.add_to(timeline);
  spans.add_to(timeline);
  ASSERT_EQ(timeline.spans().size(), 2U);
  const Span first = timeline.spans().front(), second = timeline.spans().back();
  EXPECT_TRUE(second.on_device);
  EXPECT_EQ(second.step, 1);
  EXPECT_EQ(second.stage, 3);
  EXPECT_EQ(second.op, Op::backward);
  EXPECT_LE(first.start, first.end);
  EXPECT_LE(first.end, second.start);
  EXPECT_LE(second.start, still_closed);
  EXPECT_GE(second.end, still_closed);
}

TEST(DeviceSpans, ThereAreNoneWhereTheHostComputes) {
  Timeline timeline;
  DeviceSpans spans(at::kCPU);
  spans.begin();
  spans.end({});
  spans.add_to(timeline);
  EXPECT_TRUE(timeline.spans().empty());
}

}  // namespace
}  // namespace lamina
