#include <gtest/gtest.h>

#include "comm/expect_error.hpp"
#include "comm/side_stream.hpp"
#include "lamina/comm/inprocess.hpp"
#include "lamina/comm/nccl.hpp"

namespace lamina {
namespace {

TEST(NcclAbsent, SaysSo) {
  if (nccl_version() != "none") GTEST_SKIP() << "this build has NCCL " << nccl_version();
  expect_error(ErrorKind::device, [] {
    auto hosts = make_inprocess_transports(1);
    make_nccl_transport(std::move(hosts[0]), {});
  });
}

TEST(SideStream, NeedsADeviceWithStreams) {
  expect_error(ErrorKind::device, [] { make_side_stream(at::kCPU); });
  expect_error(ErrorKind::device, [] { make_side_stream({at::kCUDA, 99}); });
}

}  // namespace
}  // namespace lamina
