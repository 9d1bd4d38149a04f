#include "comm/group_sum.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <vector>

namespace lamina {
namespace {

constexpr std::uintptr_t fast_bytes = 16;  // what NCCL moves at once has to begin at a multiple of these

TEST(ChunkedSum, ChunksAreAlignedAndMakeUpAllValues) {
  for (const std::int64_t num_values : {1, 63, 65, 650, 100003}) {
    for (const int num_members : {1, 2, 3, 7}) {
      const at::Tensor values = at::arange(static_cast<double>(num_values), at::kFloat);
      const ChunkedSum sum({values}, 0, num_members);
      std::vector<at::Tensor> chunks;
      for (int member = 0; member < num_members; ++member) {
        chunks.push_back(sum.chunk(member));
        EXPECT_EQ(sum.total(member).sizes(), sum.chunk(member).sizes());
        if (chunks.back().numel() == 0) continue;
        for (const at::Tensor& part : {sum.chunk(member), sum.total(member), sum.from(member)})
          EXPECT_EQ(reinterpret_cast<std::uintptr_t>(part.const_data_ptr()) % fast_bytes, 0u);
      }
      EXPECT_TRUE(at::equal(at::cat(chunks), values))
          << num_values << " values, " << num_members << " members";
    }
  }
}

}  // namespace
}  // namespace lamina
