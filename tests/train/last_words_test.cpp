#include "train/last_words.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pthread.h>

#include <atomic>
#include <csignal>
#include <latch>
#include <thread>
#include <vector>

#include "lamina/core/files.hpp"
#include "temporary_directory.hpp"

namespace lamina {
namespace {

using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;

// Threads that answer no signal, as a library's may.
class DeafThreads {
 public:
  explicit DeafThreads(int num) : begun_(num) {
    for (int i = 0; i < num; ++i)
      threads_.emplace_back([this] {
        sigset_t all;
        sigfillset(&all);
        ::pthread_sigmask(SIG_BLOCK, &all, nullptr);
        ::pthread_setname_np(::pthread_self(), "deaf");
        begun_.count_down();
        let_go_.wait(false);
      });
    begun_.wait();
  }
  ~DeafThreads() {
    let_go_ = true;
    let_go_.notify_all();
  }

 private:
  std::latch begun_;
  std::atomic<bool> let_go_ = false;
  std::vector<std::jthread> threads_;
};

TEST(LastWords, AreThereWithAllStacksHoweverManyThreadsDoNotAnswer) {
  const TemporaryDirectory directory;
  const DeafThreads deaf(30);
  write_down(directory.path(), 3, "worker 3 was somewhere\n", true);
  const std::filesystem::path path = directory.path() / "where-they-were/worker-3.txt";
  EXPECT_THAT(read_file(path), HasSubstr("worker 3 was somewhere\n"));
  // A slow machine takes longer over the names than write_down() waits.
  while (!read_file(path).ends_with("\n\n")) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_THAT(read_file(path), HasSubstr("(deaf): no answer\n"));
}

TEST(LastWords, AreAddedToThoseOfARunBefore) {
  const TemporaryDirectory directory;
  for (const char* words : {"the first\n", "the second\n"}) write_down(directory.path(), 0, words, false);
  EXPECT_THAT(read_file(directory.path() / "where-they-were/worker-0.txt"),
              AllOf(HasSubstr("the first\n\n"), EndsWith("the second\n\n")));
}

}  // namespace
}  // namespace lamina
