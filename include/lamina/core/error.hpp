#pragma once

#include <exception>
#include <stdexcept>
#include <string>
#include <string_view>

namespace lamina {

/// What went wrong, named by what mends it. The numbers are the process's exit codes (README, "Exit codes").
enum class ErrorKind {
  config = 2,      ///< change the configuration or the command line
  data = 3,        ///< fetch or repair the data set
  checkpoint = 4,  ///< take another checkpoint, or the configuration it was written with
  storage = 5,     ///< free space, fix permissions, or choose another directory
  contract = 6,    ///< a defect in Lamina: report it
  peer_lost = 7,   ///< another worker failed or vanished: look at its message
  timeout = 8,     ///< a peer is alive but too slow, or stuck: raise the limit or look at the peer
  device = 9,      ///< the machine lacks what the configuration asks for
  nonfinite = 10,  ///< a loss or gradient is NaN or infinite: lower the learning rate, or clip gradients
};

/// The kind's name as messages print it, e.g. "peer_lost".
std::string_view name(ErrorKind kind);

/// The one exception type that Lamina throws. A message says what was expected, what was found, who was
/// involved and where, in one line.
class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}
  ErrorKind kind() const { return kind_; }
  int exit_code() const { return static_cast<int>(kind_); }

 private:
  ErrorKind kind_;
};

/// A message of several lines with "; " in their place, and without the trace that LibTorch puts behind its
/// own.
std::string on_one_line(std::string text);

/// An exception of any kind as ours, in one line: of the file system `storage`, for want of memory or of what
/// else the system has `device`, and `contract` otherwise.
Error as_error(const std::exception& exception);

}  // namespace lamina
