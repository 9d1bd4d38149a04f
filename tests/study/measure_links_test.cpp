#include "lamina/study/measure_links.hpp"

#include <gtest/gtest.h>

#include <thread>

#include "lamina/comm/inprocess.hpp"

namespace lamina {
namespace {

TEST(MeasureLinks, AllWorkersHearOfTheSlowestLink) {
  constexpr int num_workers = 3;
  std::vector<LinkSpeed> found(num_workers);
  {
    const auto transports = make_inprocess_transports(num_workers);
    std::vector<std::jthread> workers;
    for (int w = 0; w < num_workers; ++w)
      workers.emplace_back([&, w] { found[w] = measure_links(*transports[w], Seconds(60)); });
  }
  for (const LinkSpeed& link : found) {
    EXPECT_GT(link.bytes_per_s, 0);
    EXPECT_GT(link.latency_s, 0);
    EXPECT_EQ(link.bytes_per_s, found[0].bytes_per_s);
    EXPECT_EQ(link.latency_s, found[0].latency_s);
  }
}

}  // namespace
}  // namespace lamina
