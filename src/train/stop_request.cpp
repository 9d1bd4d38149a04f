#include "lamina/train/stop_request.hpp"

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <initializer_list>

namespace lamina {
namespace {

constexpr int interrupted_exit_code = 130;

// A handler runs on whichever thread the system chooses, beside those that ask.
std::atomic<int> requested = 0;
std::atomic<int> interrupted = 0;
std::atomic<int> save_requested = 0;
std::atomic<int> exit_code_at_sigterm = 0;
static_assert(std::atomic<int>::is_always_lock_free, "a handler may not wait for a lock");

void on_signal(int signal) {
  if (signal == SIGINT && interrupted.exchange(1)) _exit(interrupted_exit_code);
  requested = 1;
}

void on_save_signal(int) {
  save_requested = 1;
}

void on_last_signal(int) {
  _exit(exit_code_at_sigterm);
}

}  // namespace

void install_stop_signals() {
  struct sigaction action{};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  for (const int signal : {SIGTERM, SIGINT, SIGUSR2}) sigaction(signal, &action, nullptr);
  struct sigaction inherited{};
  sigaction(SIGHUP, nullptr, &inherited);
  if (inherited.sa_handler != SIG_IGN) sigaction(SIGHUP, &action, nullptr);  // else nohup wants it to go on
  ::signal(SIGPIPE, SIG_IGN);  // who reads the progress may leave
  action.sa_handler = on_save_signal;
  sigaction(SIGUSR1, &action, nullptr);
}

void exit_at_sigterm(int exit_code) {
  exit_code_at_sigterm = exit_code;
  struct sigaction action{};
  action.sa_handler = on_last_signal;
  sigaction(SIGTERM, &action, nullptr);
}

bool stop_requested() {
  return requested != 0;
}

bool checkpoint_requested() {
  return save_requested.exchange(0) != 0;
}

}  // namespace lamina
