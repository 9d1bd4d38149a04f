#include "lamina/train/stop_request.hpp"

#include <signal.h>
#include <unistd.h>

#include <initializer_list>

namespace lamina {
namespace {

constexpr int interrupted_exit_code = 130;
volatile sig_atomic_t requested = 0;
volatile sig_atomic_t interrupted = 0;
volatile sig_atomic_t save_requested = 0;

void on_signal(int signal) {
  if (signal == SIGINT && interrupted) _exit(interrupted_exit_code);
  if (signal == SIGINT) interrupted = 1;
  requested = 1;
}

void on_save_signal(int) {
  save_requested = 1;
}

}  // namespace

void install_stop_signals() {
  struct sigaction action{};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  for (const int signal : {SIGTERM, SIGINT, SIGUSR2}) sigaction(signal, &action, nullptr);
  action.sa_handler = on_save_signal;
  sigaction(SIGUSR1, &action, nullptr);
}

bool stop_requested() {
  return requested != 0;
}

bool checkpoint_requested() {
  if (save_requested == 0) return false;
  save_requested = 0;
  return true;
}

}  // namespace lamina
