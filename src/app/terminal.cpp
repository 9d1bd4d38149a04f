#include "terminal.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <cstdio>

namespace lamina {
namespace {

std::atomic<int> ended = 0;
std::atomic<int> resized = 0;
static_assert(std::atomic<int>::is_always_lock_free, "a handler may not wait for a lock");

constexpr std::array ending_signals = {SIGINT, SIGTERM, SIGHUP};

void on_signal(int sent) {
  (sent == SIGWINCH ? resized : ended) = 1;
}

// Without SA_RESTART, so that poll() returns.
void handle(int sent, void (*handler)(int)) {
  struct sigaction action{};
  action.sa_handler = handler;
  ::sigaction(sent, &action, nullptr);
}

void say(const char* text) {
  std::fputs(text, stdout);
  std::fflush(stdout);
}

winsize size() {
  winsize found{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &found) != 0 || found.ws_col == 0) return {24, 80, 0, 0};
  return found;
}

}  // namespace

Terminal::Terminal() {
  ended = 0;
  resized = 0;
  for (const int sent : ending_signals) handle(sent, on_signal);
  handle(SIGWINCH, on_signal);
  handle(SIGTSTP, SIG_IGN);  // a stopped process would leave its frame to the shell
  termios keyboard{};
  if (::tcgetattr(STDIN_FILENO, &keyboard) == 0) {
    before_ = keyboard;
    keyboard.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
    ::tcsetattr(STDIN_FILENO, TCSANOW, &keyboard);
  }
  say("\x1b[?1049h\x1b[?25l");  // the other screen, no cursor
}

Terminal::~Terminal() {
  say("\x1b[?25h\x1b[?1049l");
  if (before_) ::tcsetattr(STDIN_FILENO, TCSANOW, &*before_);
  for (const int sent : ending_signals) handle(sent, SIG_DFL);
  handle(SIGWINCH, SIG_DFL);
  handle(SIGTSTP, SIG_DFL);
}

std::size_t Terminal::columns() const {
  return size().ws_col;
}

std::size_t Terminal::rows() const {
  return size().ws_row;
}

// Over what is there, so that nothing flickers.
void Terminal::draw(const std::vector<std::string>& lines) const {
  std::string frame = "\x1b[H";
  for (std::size_t i = 0; i < lines.size(); ++i)
    frame += fmt::format("{}{}\x1b[K", i > 0 ? "\n" : "", lines[i]);
  say((frame + "\x1b[J").c_str());
}

Terminal::Event Terminal::wait(Seconds limit) const {
  for (const Clock::time_point end = Clock::now() + std::chrono::duration_cast<Clock::duration>(limit);;) {
    if (ended) return Event::signal;
    if (resized.exchange(0)) return Event::resized;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now());
    if (left.count() <= 0) return Event::time;
    pollfd keyboard{STDIN_FILENO, POLLIN, 0};
    if (::poll(&keyboard, before_ ? 1 : 0, static_cast<int>(left.count())) <= 0) continue;
    char key = 0;
    if (::read(STDIN_FILENO, &key, 1) != 1) return Event::signal;  // the terminal is gone
    if (key == 'q' || key == 'Q') return Event::key_q;
  }
}

}  // namespace lamina
