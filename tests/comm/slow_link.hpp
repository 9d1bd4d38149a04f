#pragma once

#include <memory>
#include <optional>
#include <string>

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

}  // namespace lamina
