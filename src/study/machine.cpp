#include "study/machine.hpp"

#include <fmt/chrono.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <memory>

#include "lamina/core/process.hpp"

namespace lamina {
namespace {

std::string processor_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  return "unknown";
}

}  // namespace

nlohmann::json describe_machine() {
  return {{"host", host_name()},
          {"processor", processor_name()},
          {"processors", usable_processors()},
          {"memory_mib", static_cast<double>(::sysconf(_SC_PHYS_PAGES)) * ::sysconf(_SC_PAGESIZE) / mib}};
}

std::string git_state() {
  const std::unique_ptr<FILE, int (*)(FILE*)> git(
      ::popen("git describe --always --dirty --abbrev=12 --exclude='*' 2>/dev/null", "r"), ::pclose);
  std::array<char, 128> line{};
  if (!git || !std::fgets(line.data(), line.size(), git.get())) return "unknown";
  const std::string text = line.data();
  return text.substr(0, text.find('\n'));
}

std::string utc_now() {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}",
                     fmt::gmtime(std::chrono::system_clock::to_time_t(std::chrono::system_clock::now())));
}

}  // namespace lamina
