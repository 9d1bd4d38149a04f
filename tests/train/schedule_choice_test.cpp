#include "train/schedule_choice.hpp"

#include <gmock/gmock.h>

#include "lamina/core/error.hpp"

namespace lamina {
namespace {

RunConfig over_nccl(const std::string& schedule) {
  RunConfig config;
  config.method.framework = "e2e";
  config.pipeline.schedule = schedule;
  config.pipeline.transport = "nccl";
  return config;
}

MpiLaunch launch_of(int size) {
  return {.size = size, .local_size = size, .launched = true};
}

TEST(ScheduleChoice, OverNcclTwoVersionsHaveEightWorkersAtMost) {
  RunConfig eight = over_nccl("2bw");
  resolve_schedule(eight, launch_of(8));
  RunConfig nine = over_nccl("2bw");
  try {
    resolve_schedule(nine, launch_of(9));
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::config);
    EXPECT_THAT(error.what(), testing::HasSubstr("expected at most 8 workers with 2bw over nccl, found 9"));
  }
  RunConfig forward_then_backward = over_nccl("1f1b");
  resolve_schedule(forward_then_backward, launch_of(9));
}

}  // namespace
}  // namespace lamina
