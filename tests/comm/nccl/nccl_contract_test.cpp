// The transport's contract over NCCL's stand-in, the workers being threads; comm/mpi has them as processes.
#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>
#include <tuple>

#include "comm/nccl/nccl_workers.hpp"
#include "comm/transport_contract.hpp"
#include "standin.hpp"

namespace lamina {
namespace {

std::vector<contract::Case> cases_of_one_queue() {
  std::vector<contract::Case> cases;
  std::copy_if(contract::cases().begin(), contract::cases().end(), std::back_inserter(cases),
               [](const contract::Case& one) { return !one.needs_independent_lanes; });
  return cases;
}

class NcclContract : public testing::TestWithParam<std::tuple<contract::Case, int>> {};

TEST_P(NcclContract, Holds) {
  const auto& [contract_case, num_workers] = GetParam();
  run_nccl_workers(num_workers, contract::lanes(num_workers),
                   [&](Transport& transport) {
                     transport.all_gather("", Seconds(60));
                     contract_case.body(transport);
                   },
                   {.sums = true});
  EXPECT_EQ(nccl_standin::num_calls_after_the_end(), 0);
}

INSTANTIATE_TEST_SUITE_P(Transport, NcclContract,
                         testing::Combine(testing::ValuesIn(cases_of_one_queue()), testing::Values(1, 2, 4)),
                         [](const auto& test) {
                           return std::get<0>(test.param).name + "With" +
                                  std::to_string(std::get<1>(test.param));
                         });

}  // namespace
}  // namespace lamina
