#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace lamina {

struct ChildProcess {
  std::vector<std::string> command;                                ///< looked up in PATH
  std::vector<std::pair<std::string, std::string>> environment{};  ///< beside this process's own
  std::filesystem::path log;  ///< takes what it prints, errors too; emptied first
};

/// Runs a process to its end, in a process group of its own: a terminal's Ctrl-C reaches this one alone. Once
/// `stop_requested`, it is sent SIGTERM; it is, too, when this process dies.
///
/// Returns   its exit code; below 0, the signal that ended it; 127, with a line in the log, if there is no
/// such program. @throws Error{storage} if the log cannot be written, Error{device} if there can be no
/// process.
int run_child(const ChildProcess& child, const std::function<bool()>& stop_requested);

/// The last line that says something, without the time and level before it; "it said nothing" if none does.
std::string last_line(const std::filesystem::path& log);

}  // namespace lamina
