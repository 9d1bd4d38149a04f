#include "lamina/control/thread_stacks.hpp"

#include <execinfo.h>
#include <fmt/format.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <backward.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <thread>

namespace lamina {
namespace {

constexpr int deepest = 64;
constexpr int own_frames = 2;  // the handler's, and the system's call of it
constexpr double longest_answer_s = 0.5;

int signal_to_ask_by() {
  return SIGRTMIN + 4;
}

int thread_id() {
  return static_cast<int>(::syscall(SYS_gettid));
}

// What a thread that is asked writes into. It takes the question before it answers, so that one who comes
// late, when it is no longer asked, leaves everything alone.
struct Reply {
  static constexpr int nobody = 0, under_way = -1, given = -2;
  std::atomic<int> asked = nobody;  // a thread's id
  std::array<void*, deepest> addresses{};
  int num_addresses = 0;
};
Reply reply;
bool handler_hangs = false;  // in its thread, with the reply, which nobody else gets any more

void on_asked(int) {
  const int error = errno;
  int own = thread_id();
  if (reply.asked.compare_exchange_strong(own, Reply::under_way)) {
    reply.num_addresses = ::backtrace(reply.addresses.data(), deepest);
    reply.asked = Reply::given;
  }
  errno = error;
}

void prepare_to_ask() {
  void* first;
  ::backtrace(&first, 1);  // loads what it needs, which a signal's handler must not
  struct sigaction action{};
  action.sa_handler = on_asked;
  action.sa_flags = SA_RESTART | SA_ONSTACK;
  ::sigaction(signal_to_ask_by(), &action, nullptr);
}

std::vector<void*> addresses_of(int thread, Seconds limit) {
  if (handler_hangs) return {};
  const Stopwatch watch;
  reply.asked = thread;
  if (::syscall(SYS_tgkill, ::getpid(), thread, signal_to_ask_by()) != 0) return {};
  while (reply.asked != Reply::given) {
    int asked = thread;
    if (watch.elapsed_s() > limit.count() && reply.asked.compare_exchange_strong(asked, Reply::nobody))
      return {};
    if (watch.elapsed_s() > limit.count() + longest_answer_s) {
      handler_hangs = true;
      return {};
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  const int skipped = std::min(own_frames, reply.num_addresses);
  return std::vector<void*>(reply.addresses.begin() + skipped, reply.addresses.begin() + reply.num_addresses);
}

std::vector<int> other_threads() {
  std::vector<int> threads;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/task")) {
    const std::string name = entry.path().filename();
    int thread = 0;
    std::from_chars(name.data(), name.data() + name.size(), thread);
    if (thread != thread_id()) threads.push_back(thread);
  }
  std::sort(threads.begin(), threads.end());
  return threads;
}

std::string name_of_thread(int thread) {
  std::ifstream file(fmt::format("/proc/self/task/{}/comm", thread));
  std::string name;
  std::getline(file, name);
  return name;
}

// Symbols of this program and of its libraries; lines where there is debug information.
class Symbols {
 public:
  std::string name(void* address) {
    const backward::ResolvedTrace found =
        resolver_.resolve(backward::ResolvedTrace(backward::Trace(address, 0)));
    const std::string& function = found.object_function;
    const std::string object = std::filesystem::path(found.object_filename).filename();
    const std::string where = found.source.filename.empty()
                                  ? object
                                  : fmt::format("{}:{}", found.source.filename, found.source.line);
    return fmt::format("{} in {}", function.empty() ? fmt::format("{}", address) : function, where);
  }

 private:
  backward::TraceResolver resolver_;
};

}  // namespace

std::vector<ThreadStack> thread_stacks(Seconds limit) {
  prepare_to_ask();
  const Stopwatch watch;
  const std::vector<int> threads = other_threads();
  std::vector<std::vector<void*>> addresses;
  for (const int thread : threads) {
    const double left_s = std::max(0.0, limit.count() - watch.elapsed_s());
    const auto num_left = static_cast<double>(threads.size() - addresses.size());
    addresses.push_back(addresses_of(thread, Seconds(left_s / num_left)));
  }
  // Only now, when all have been asked: names take locks and time.
  Symbols symbols;
  std::vector<ThreadStack> stacks;
  for (std::size_t i = 0; i < threads.size(); ++i) {
    stacks.push_back({.id = threads[i], .name = name_of_thread(threads[i]), .frames = {}});
    for (void* address : addresses[i]) stacks.back().frames.push_back(symbols.name(address));
  }
  return stacks;
}

std::string text(const std::vector<ThreadStack>& stacks) {
  std::string lines;
  for (const ThreadStack& stack : stacks) {
    lines +=
        fmt::format("thread {} ({}){}\n", stack.id, stack.name, stack.frames.empty() ? ": no answer" : "");
    for (std::size_t i = 0; i < stack.frames.size(); ++i)
      lines += fmt::format("  #{} {}\n", i, stack.frames[i]);
  }
  return lines;
}

}  // namespace lamina
