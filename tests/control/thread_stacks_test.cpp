#include "lamina/control/thread_stacks.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pthread.h>

#include <atomic>
#include <csignal>
#include <functional>
#include <semaphore>
#include <thread>

namespace lamina {

// With names of their own, to be found.
std::atomic<bool> let_go = false;
std::atomic<bool> is_in = false;

__attribute__((noinline)) void turn_round_and_round() {
  is_in = true;
  while (!let_go) {
  }
}

__attribute__((noinline)) void wait_for_somebody(std::counting_semaphore<>& somebody) {
  is_in = true;
  somebody.acquire();
  is_in = false;  // no call in the place of this one's frame
}

namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

// A thread that has begun `body`, and its name.
std::jthread running(const char* name, std::function<void()> body) {
  is_in = false;
  std::jthread thread([name, body = std::move(body)] {
    ::pthread_setname_np(::pthread_self(), name);
    body();
  });
  while (!is_in) std::this_thread::yield();
  return thread;
}

ThreadStack stack_of(const std::string& name, const std::vector<ThreadStack>& stacks) {
  for (const ThreadStack& stack : stacks)
    if (stack.name == name) return stack;
  ADD_FAILURE() << "no thread " << name << " in\n" << text(stacks);
  return {};
}

TEST(ThreadStacks, TellWhatEveryOtherThreadIsIn) {
  std::counting_semaphore<> somebody{0};
  const std::jthread waiting = running("waiting", [&] { wait_for_somebody(somebody); });
  const std::jthread turning = running("turning", turn_round_and_round);
  for (int twice = 0; twice < 2; ++twice) {
    const std::vector<ThreadStack> stacks = thread_stacks(Seconds(60));
    EXPECT_THAT(stack_of("turning", stacks).frames, Contains(HasSubstr("turn_round_and_round")));
    EXPECT_THAT(stack_of("waiting", stacks).frames, Contains(HasSubstr("wait_for_somebody")));
    EXPECT_THAT(text(stacks), HasSubstr("turn_round_and_round"));
  }
  let_go = true;
  somebody.release();
}

TEST(ThreadStacks, AThreadThatDoesNotAnswerIsLeftOutAndHarmsNobodyLater) {
  std::counting_semaphore<> somebody{0};
  const std::jthread deaf = running("deaf", [&] {
    sigset_t all;
    sigfillset(&all);
    ::pthread_sigmask(SIG_BLOCK, &all, nullptr);
    wait_for_somebody(somebody);
    sigemptyset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, nullptr);  // now the signal comes, when nobody asks any more
    is_in = true;
    somebody.acquire();
  });
  const std::vector<ThreadStack> stacks = thread_stacks(Seconds(0));
  EXPECT_THAT(stack_of("deaf", stacks).frames, IsEmpty());
  EXPECT_THAT(text(stacks), HasSubstr("no answer"));
  is_in = false;
  somebody.release();
  while (!is_in) std::this_thread::yield();
  EXPECT_THAT(stack_of("deaf", thread_stacks(Seconds(60))).frames, Not(IsEmpty()));
  somebody.release();
}

}  // namespace
}  // namespace lamina
