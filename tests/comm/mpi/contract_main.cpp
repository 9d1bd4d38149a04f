// The transport's contract suite as one rank of an MPI job: its argument says over which transport, mpi or
// nccl, the latter over the stand-in. All ranks run all cases in step; a rank exits with an error if a check
// failed there, and so does mpirun.
#include <gtest/gtest.h>

#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include "comm/transport_contract.hpp"
#include "lamina/comm/mpi.hpp"
#include "lamina/comm/nccl.hpp"
#include "lamina/core/error.hpp"

namespace {

using lamina::Transport;

std::unique_ptr<Transport> transport;  // MPI starts once a process, and lanes open once
bool lanes_are_independent = true;

std::unique_ptr<Transport> make_transport(const std::string& name) {
  std::unique_ptr<Transport> mpi = lamina::make_mpi_transport();
  if (name == "mpi") return mpi;
  if (name != "nccl") throw lamina::Error(lamina::ErrorKind::config, "expected mpi or nccl, found " + name);
  lanes_are_independent = false;
  return lamina::make_nccl_transport(std::move(mpi),
                                     {.device = at::kCPU, .open_limit = lamina::Seconds(60), .sums = true});
}

class MpiContract : public testing::TestWithParam<lamina::contract::Case> {};

TEST_P(MpiContract, Holds) {
  if (GetParam().needs_independent_lanes && !lanes_are_independent) GTEST_SKIP() << "NCCL is one queue";
  transport->all_gather("", lamina::Seconds(60));
  GetParam().body(*transport);
}

INSTANTIATE_TEST_SUITE_P(Transport, MpiContract, testing::ValuesIn(lamina::contract::cases()),
                         [](const auto& test) { return test.param.name; });

class FailurePrinter : public testing::EmptyTestEventListener {
  void OnTestPartResult(const testing::TestPartResult& result) override {
    if (result.failed()) {
      std::fprintf(stderr, "worker %d, %s:%d: %s\n", transport->worker(), result.file_name(),
                   result.line_number(), result.message());
    }
  }
};

}  // namespace

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  GTEST_FLAG_SET(catch_exceptions,
                 false);  // a worker that leaves a case must not meet the others in the next
  try {
    transport = make_transport(argc == 2 ? argv[1] : "nothing");
    if (transport->worker() != lamina::mpi_launch().rank ||
        transport->num_workers() != lamina::mpi_launch().size) {
      throw lamina::Error(lamina::ErrorKind::contract, "mpi_launch() and MPI differ on this worker's place");
    }
    testing::TestEventListeners& listeners = testing::UnitTest::GetInstance()->listeners();
    if (transport->worker() != 0) {
      delete listeners.Release(listeners.default_result_printer());
      listeners.Append(new FailurePrinter);
    }
    transport->open(lamina::contract::lanes(transport->num_workers()));
    const int result = RUN_ALL_TESTS();
    transport.reset();
    return result;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    if (transport) transport->abort(error.what(), 1);
    transport.reset();
    return 1;
  }
}
