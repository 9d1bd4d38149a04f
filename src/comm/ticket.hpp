#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "comm/bell.hpp"
#include "lamina/comm/transport.hpp"

namespace lamina {

/// One send or receive: its handle waits on it, the backend completes it. Outlives the transport if need be.
///
/// Threads  all state is guarded by the bell.
class Ticket {
 public:
  enum class Way { send, receive };

  /// The `number`-th message of `lane`, counted from 0.
  Ticket(std::shared_ptr<Bell> bell, Way way, int lane, const LaneSpec& spec, std::int64_t number);

  /// Who has not done what while it is pending, e.g. "worker 1 has not taken message 7 of lane 0".
  std::string missing() const;

  /// The backend's side: the send was matched, or the message received.
  void complete(const Bell::Lock& held, Message message = {});

  /// The handle's side.
  bool done() const;
  Message wait(Seconds limit);

  /// True once a wait has returned.
  bool waited() const;

 private:
  enum class State { pending, done, waited };

  const std::shared_ptr<Bell> bell_;
  const Way way_;
  const int lane_;
  const int from_;
  const int to_;
  const std::int64_t number_;
  State state_ = State::pending;
  Message message_;
};

std::unique_ptr<SendHandle> send_handle(std::shared_ptr<Ticket> ticket);
std::unique_ptr<ReceiveHandle> receive_handle(std::shared_ptr<Ticket> ticket);

}  // namespace lamina
