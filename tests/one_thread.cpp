#include <ATen/Parallel.h>
#include <gtest/gtest.h>

// These tensors are tiny: a team of threads costs more than it computes, twenty times more where other tests
// run beside this one and its threads wait for one another. The thread sanitizer does not know of OpenMP's
// waits either.
namespace lamina {
namespace {

class OneThread : public testing::Environment {
  void SetUp() override { at::set_num_threads(1); }
};
const testing::Environment* const one_thread = testing::AddGlobalTestEnvironment(new OneThread);

}  // namespace
}  // namespace lamina
