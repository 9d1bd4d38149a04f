#include "lamina/core/process.hpp"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cinttypes>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <limits>
#include <sstream>
#include <thread>

#include "lamina/core/error.hpp"
#include "lamina/core/files.hpp"

namespace lamina {
namespace {

namespace fs = std::filesystem;

// Of one control group, in processors' worth of time: as version 2 has it, in one file, or as version 1 does.
double quota_of(const fs::path& group) {
  double quota_us = 0;  // stays so where there is no limit: "max", which is no number, or -1
  double period_us = 0;
  std::ifstream(group / "cpu.max") >> quota_us >> period_us;
  std::ifstream(group / "cpu.cfs_quota_us") >> quota_us;
  std::ifstream(group / "cpu.cfs_period_us") >> period_us;
  return quota_us > 0 && period_us > 0 ? quota_us / period_us : std::numeric_limits<double>::infinity();
}

// Of a group and all that it is part of, each of which holds for what is below it. Seen from a container the
// folder may be the group itself, and its name one that only the host knows.
double least_quota(fs::path folder, const fs::path& group) {
  double least = quota_of(folder);
  for (const fs::path& name : group.relative_path()) least = std::min(least, quota_of(folder /= name));
  return least;
}

}  // namespace

std::string host_name() {
  std::array<char, 256> text{};
  ::gethostname(text.data(), text.size() - 1);
  return text.data();
}

std::string machine_id() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string id;
  return std::getline(file, id) ? id : host_name();
}

int process_id() {
  return ::getpid();
}

// Field 22 of /proc/self/stat is the start in ticks since the host's; what comes before may hold blanks, in
// brackets.
double process_age_s() {
  const std::string stat = read_file("/proc/self/stat");
  std::istringstream fields(stat.substr(stat.rfind(')') + 1));
  constexpr int kFieldsBetween = 19;
  std::string skipped;
  for (int i = 0; i < kFieldsBetween; ++i) fields >> skipped;
  double start_ticks = 0;
  timespec now{};
  if (!(fields >> start_ticks) || ::clock_gettime(CLOCK_BOOTTIME, &now) != 0)
    throw Error(ErrorKind::device, "expected the start of this process in /proc/self/stat, found none");
  const double start_s = start_ticks / static_cast<double>(::sysconf(_SC_CLK_TCK));
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec) - start_s;
}

double run_age_s() {
  const char* began = std::getenv("LAMINA_BEGAN");
  double began_s = 0;
  if (!began || std::from_chars(began, began + std::strlen(began), began_s).ec != std::errc())
    return process_age_s();
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::max(process_age_s(), std::chrono::duration<double>(now).count() - began_s);
}

// Asked at every step, so it takes nothing from the heap whose size it tells.
double resident_mib() {
  std::array<char, 128> text{};
  const int file = ::open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
  const ssize_t size = file < 0 ? -1 : ::read(file, text.data(), text.size() - 1);
  if (file >= 0) ::close(file);
  std::int64_t mapped_pages = 0;
  std::int64_t resident_pages = 0;
  if (size <= 0 || std::sscanf(text.data(), "%" SCNd64 " %" SCNd64, &mapped_pages, &resident_pages) != 2) {
    throw Error(ErrorKind::device, "expected page counts in /proc/self/statm, found none");
  }
  return static_cast<double>(resident_pages * ::sysconf(_SC_PAGESIZE)) / mib;
}

double peak_resident_mib() {
  constexpr std::string_view kLabel = "VmHWM:";
  std::istringstream status(read_file("/proc/self/status"));
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(kLabel))
      return std::stod(line.substr(kLabel.size())) / 1024;  // the kernel prints KiB
  }
  throw Error(ErrorKind::device, "expected a line VmHWM in /proc/self/status, found none");
}

int usable_processors() {
  cpu_set_t mask;
  // The call refuses a mask smaller than the kernel's own, i.e. on machines of more than CPU_SETSIZE
  // processors.
  const int allowed = ::sched_getaffinity(0, sizeof(mask), &mask) == 0
                          ? CPU_COUNT(&mask)
                          : static_cast<int>(std::thread::hardware_concurrency());
  const double quota = processor_quota().value_or(allowed);
  return std::max(1, static_cast<int>(std::ceil(std::min<double>(allowed, quota))));
}

// Each line is NUMBER:CONTROLLERS:GROUP, and that of version 2, which has all controllers, names none.
std::optional<double> processor_quota(const fs::path& root) {
  const fs::path mounted = root / "sys/fs/cgroup";
  double least = std::numeric_limits<double>::infinity();
  std::ifstream groups(root / "proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    const std::size_t number_end = std::min(line.find(':'), line.size());
    const std::size_t controllers_end = line.find(':', number_end + 1);
    if (controllers_end == std::string::npos) continue;
    const std::string controllers = line.substr(number_end, controllers_end - number_end) + ",";
    const std::string group = line.substr(controllers_end + 1);
    if (controllers == ":,") least = std::min(least, least_quota(mounted, group));
    if (controllers.find(":cpu,") == 0 || controllers.find(",cpu,") != std::string::npos)
      least = std::min(least, least_quota(mounted / "cpu", group));
  }
  return std::isinf(least) ? std::nullopt : std::optional(least);
}

}  // namespace lamina
