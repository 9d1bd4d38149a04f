#include "lamina/comm/host_copies.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "comm/expect_error.hpp"

namespace lamina {
namespace {

TEST(HostCopies, OfTheCpuAreDoneWhenTheCallReturns) {
  const auto copies = make_host_copies(at::kCPU);
  const at::Tensor source =
      at::rand({2, 3, 4, 4}).contiguous(at::MemoryFormat::ChannelsLast).requires_grad_(true);
  std::vector<at::Tensor> down;
  copies->download({source, at::ones({})}, [&](std::vector<at::Tensor> made) { down = std::move(made); });
  ASSERT_EQ(down.size(), 2u);
  EXPECT_TRUE(at::equal(down[0], source));
  EXPECT_EQ(down[0].strides(), source.strides());
  EXPECT_FALSE(down[0].requires_grad());
  EXPECT_FALSE(down[0].is_alias_of(source));

  std::vector<at::Tensor> again;
  copies->download(
      {source * 2, at::zeros({})}, [&](std::vector<at::Tensor> made) { again = std::move(made); }, down);
  EXPECT_TRUE(again[0].is_same(down[0]));
  EXPECT_TRUE(at::equal(again[0], source * 2));

  const at::Tensor target = at::zeros({2, 3, 4, 4});
  copies->upload({down[0]}, {target});
  EXPECT_TRUE(at::equal(target, source * 2));
  copies->finish();
}

TEST(HostCopies, OfAnAbsentDeviceAreADeviceError) {
  expect_error(ErrorKind::device, [] { make_host_copies(at::Device(at::kCUDA, 127)); });
}

}  // namespace
}  // namespace lamina
