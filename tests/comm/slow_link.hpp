#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace lamina {

/// A link that is slower than the loopback: listens on it, and passes the bytes of every connection on to
/// `target` and back, each direction at no more than `bytes_per_s`. It holds back little by itself, so a
/// sender soon feels the rate. Runs on a thread of its own until it is destroyed, which cuts the connections.
class SlowLink {
 public:
  /// `target`: "host:port". No rate: as fast as it goes.
  explicit SlowLink(const std::string& target, std::optional<double> bytes_per_s = std::nullopt);
  ~SlowLink();

  /// Whom to call instead of the target.
  std::string address() const;

  /// Nothing passes from now on, until resume().
  void stall();
  void resume();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Slow links in front of several listeners, made as they are asked for.
///
/// Threads  any.
class SlowLinks {
 public:
  explicit SlowLinks(std::optional<double> bytes_per_s = std::nullopt) : bytes_per_s_(bytes_per_s) {}

  /// Whom to call instead of the target.
  std::string before(const std::string& target);

  void stall();
  void resume();

 private:
  std::optional<double> bytes_per_s_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<SlowLink>> links_;
};

}  // namespace lamina
