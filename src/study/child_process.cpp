#include "study/child_process.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <regex>
#include <sstream>
#include <thread>

#include "lamina/core/error.hpp"
#include "lamina/core/files.hpp"

extern char** environ;

namespace lamina {
namespace {

constexpr int no_such_program = 127;
constexpr auto between_looks = std::chrono::milliseconds(20);

// The texts' addresses, as exec takes them.
std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> all;
  for (std::string& text : texts) all.push_back(text.data());
  all.push_back(nullptr);
  return all;
}

std::vector<std::string> environment_of(const ChildProcess& child) {
  std::vector<std::string> all;
  for (const auto& [name, value] : child.environment) all.push_back(name + "=" + value);
  for (char** each = environ; *each; ++each) all.emplace_back(*each);  // of two, the first counts
  return all;
}

// Between fork and exec: nothing here may allocate.
[[noreturn]] void become(char* const* command, char* const* environment, int log, pid_t parent) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (::getppid() != parent) ::_exit(no_such_program);
  ::dup2(log, STDOUT_FILENO);
  ::dup2(log, STDERR_FILENO);
  const int nothing = ::open("/dev/null", O_RDONLY);
  if (nothing >= 0) ::dup2(nothing, STDIN_FILENO);
  ::execvpe(command[0], command, environment);
  const char* program = command[0];
  const char* reason = ::strerror(errno);
  for (const char* part : {program, ": expected a program, found: ", reason, "\n"})
    if (::write(STDERR_FILENO, part, ::strlen(part)) < 0) break;
  ::_exit(no_such_program);
}

}  // namespace

int run_child(const ChildProcess& child, const std::function<bool()>& stop_requested) {
  const int log = ::open(child.log.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (log < 0)
    throw Error(ErrorKind::storage, fmt::format("{}: expected to write a log, found: {}", child.log.string(),
                                                std::strerror(errno)));
  std::vector<std::string> command = child.command;
  std::vector<std::string> environment = environment_of(child);
  const std::vector<char*> arguments = pointers(command), variables = pointers(environment);
  const pid_t parent = ::getpid();
  const pid_t process = ::fork();
  if (process == 0) become(arguments.data(), variables.data(), log, parent);
  ::close(log);
  if (process < 0)
    throw Error(ErrorKind::device, fmt::format("{}: expected to start a process, found: {}",
                                               child.command.front(), std::strerror(errno)));
  bool told = false;
  int status = 0;
  while (::waitpid(process, &status, WNOHANG) == 0) {
    if (!told && stop_requested()) told = ::kill(process, SIGTERM) == 0;
    std::this_thread::sleep_for(between_looks);
  }
  return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

std::string last_line(const std::filesystem::path& log) {
  static const std::regex before(R"(^\[[\d:.]+\] \[\w+\] )");
  std::istringstream text(read_file(log));
  std::string last = "it said nothing";
  for (std::string line; std::getline(text, line);)
    if (line.find_first_not_of(" \t\r-") != line.npos) last = line;
  return std::regex_replace(last, before, "");
}

}  // namespace lamina
