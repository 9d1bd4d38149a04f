#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "comm/ticket.hpp"
#include "lamina/comm/transport.hpp"

namespace lamina {

/// One worker's lanes, and the rules of Transport that hold whatever carries the messages. All backends ask
/// it first, so that they refuse the same calls with the same words.
class LaneBook {
 public:
  /// Messages' tensors lie on a device of type `device`.
  LaneBook(std::shared_ptr<Bell> bell, int worker, int num_workers, at::DeviceType device = at::kCPU);

  /// @throws Error{contract} if a spec makes no sense, or on a second call.
  void open(const std::vector<LaneSpec>& lanes);

  /// The open lanes as text, a line each: equal lanes have equal texts.
  const std::string& text() const { return text_; }

  /// @throws Error{contract} if another worker's lanes, given as text, are not this worker's.
  void require_same(int other_worker, const std::string& theirs) const;

  /// Allows a send and numbers it. Strides of `message` that mean nothing, of dimensions with one or no
  /// element, are set to the lane's: operators choose their memory format by them.
  /// @throws Error{contract}, Error{peer_lost} as Transport::send.
  std::shared_ptr<Ticket> begin_send(int lane, Message& message);

  /// Allows a receive and numbers it. @throws Error{contract}, Error{peer_lost} as Transport::receive.
  std::shared_ptr<Ticket> begin_receive(int lane);

  const LaneSpec& spec(int lane) const { return lanes_[static_cast<std::size_t>(lane)].spec; }

 private:
  struct Lane {
    LaneSpec spec;
    std::deque<std::shared_ptr<Ticket>> sends;  // oldest first; those that are done go when the next is sent
    std::shared_ptr<Ticket> receive;            // the last one posted
    std::int64_t num_sent = 0;
    std::int64_t num_received = 0;
  };
  Lane& at_end(int lane, int LaneSpec::* end, const char* verb);

  const std::shared_ptr<Bell> bell_;
  const int worker_;
  const int num_workers_;
  const at::DeviceType device_;
  bool is_open_ = false;
  std::vector<Lane> lanes_;
  std::string text_;
};

}  // namespace lamina
