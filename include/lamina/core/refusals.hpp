#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace lamina {

/// What a listener turns away: of each kind the first is told in a line of the log, the others are counted,
/// so that a crowd cannot fill a log.
///
/// Threads  one at a time.
class Refusals {
 public:
  /// `who` turns strangers away, e.g. "worker 2".
  explicit Refusals(std::string who) : who_(std::move(who)) {}

  /// `kind` is what a count of them reads like, e.g. "without the run's token".
  void note(const std::string& kind, const std::string& stranger, const std::string& why);

  /// One line with all counts, if not every refusal has had its own; then begins anew.
  void sum_up();

 private:
  std::string who_;
  std::map<std::string, std::int64_t> counts_;  // by kind
};

}  // namespace lamina
