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
volatile sig_atomic_t exit_code_at_sigterm = 0;

void on_signal(int signal) {
  if (signal == SIGINT && interrupted) _exit(interrupted_exit_code);
  if (signal == SIGINT) interrupted = 1;
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
  if (save_requested == 0) return false;
  save_requested = 0;
  return true;
}

}  // namespace lamina
