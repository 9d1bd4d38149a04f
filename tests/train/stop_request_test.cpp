#include "lamina/train/stop_request.hpp"

#include <gtest/gtest.h>

#include <csignal>
#include <cstdlib>

namespace lamina {
namespace {

TEST(StopRequestDeathTest, SigtermAsksForAStopUntilNothingCanBeAgreedOnAnyMore) {
  const auto run = [] {
    install_stop_signals();
    std::raise(SIGTERM);
    if (!stop_requested()) std::_Exit(1);
    exit_at_sigterm(7);
    std::raise(SIGTERM);
    std::_Exit(2);
  };
  EXPECT_EXIT(run(), testing::ExitedWithCode(7), "");
}

TEST(StopRequestDeathTest, ACheckpointIsAskedForOnceHoweverOftenTheSignalCame) {
  const auto run = [] {
    install_stop_signals();
    if (checkpoint_requested()) std::_Exit(1);
    for (int i = 0; i < 3; ++i) std::raise(SIGUSR1);
    if (!checkpoint_requested()) std::_Exit(2);
    if (checkpoint_requested()) std::_Exit(3);
    if (stop_requested()) std::_Exit(4);
    std::_Exit(0);
  };
  EXPECT_EXIT(run(), testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace lamina
