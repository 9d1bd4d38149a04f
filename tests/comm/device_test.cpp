#include "lamina/comm/device.hpp"

#include <c10/core/impl/VirtualGuardImpl.h>
#include <gtest/gtest.h>

#include "comm/expect_error.hpp"

namespace lamina {
namespace {

TEST(RequireDevice, ACpuIsSharedByAnyNumber) {
  EXPECT_NO_THROW(require_device(at::kCPU, 64));
}

TEST(RequireDevice, MoreWorkersThanGpusAreRefused) {
  expect_error(ErrorKind::device, [] { require_device(at::Device(at::kCUDA, 0), 1000); });
}

TEST(DeviceOfRank, IsTheRanksOwnByItsNumberOnItsHost) {
  if (c10::impl::hasDeviceGuardImpl(at::kCUDA) && c10::impl::VirtualGuardImpl(at::kCUDA).deviceCount() == 1)
    GTEST_SKIP() << "this host shows one GPU to all";
  EXPECT_EQ(device_of_rank(at::kCUDA, 0), at::Device(at::kCUDA, 0));
  EXPECT_EQ(device_of_rank(at::kCUDA, 3), at::Device(at::kCUDA, 3));
  EXPECT_EQ(pci_bus_id(at::kCPU), "");
}

TEST(RequireDevice, AHostWithoutADriverIsToldFromABuildWithoutCuda) {
  const bool has_cuda = c10::impl::hasDeviceGuardImpl(at::kCUDA);
  if (has_cuda && c10::impl::VirtualGuardImpl(at::kCUDA).deviceCount() > 0)
    GTEST_SKIP() << "this host has a GPU";
  try {
    require_device(at::Device(at::kCUDA, 0), 1);
    FAIL() << "it was accepted";
  } catch (const Error& error) {
    const std::string expected = has_cuda ? "is its driver loaded" : "this build of Lamina has no cuda";
    EXPECT_NE(std::string(error.what()).find(expected), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace lamina
