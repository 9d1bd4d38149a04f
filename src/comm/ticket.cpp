#include "comm/ticket.hpp"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <utility>

#include "lamina/core/error.hpp"

namespace lamina {

Ticket::Ticket(std::shared_ptr<Bell> bell, Way way, int lane, const LaneSpec& spec, std::int64_t number)
    : bell_(std::move(bell)), way_(way), lane_(lane), from_(spec.from), to_(spec.to), number_(number) {}

std::string Ticket::missing() const {
  const auto [peer, verb] = way_ == Way::send ? std::pair(to_, "taken") : std::pair(from_, "sent");
  return fmt::format("worker {} has not {} message {} of lane {}", peer, verb, number_, lane_);
}

void Ticket::complete(const Bell::Lock&, Message message) {
  message_ = std::move(message);
  state_ = State::done;
  bell_->ring();
}

bool Ticket::done() const {
  const Bell::Lock held = bell_->lock();
  return state_ != State::pending;
}

bool Ticket::waited() const {
  const Bell::Lock held = bell_->lock();
  return state_ == State::waited;
}

Message Ticket::wait(Seconds limit) {
  Bell::Lock held = bell_->lock();
  if (!bell_->wait(held, limit, [this] { return state_ != State::pending; })) {
    throw Error(ErrorKind::timeout, fmt::format("worker {} waited {} s, but {}",
                                                way_ == Way::send ? from_ : to_, limit.count(), missing()));
  }
  if (way_ == Way::receive && state_ == State::waited) {
    throw Error(
        ErrorKind::contract,
        fmt::format("message {} of lane {} is waited for a second time by worker {}", number_, lane_, to_));
  }
  state_ = State::waited;
  return std::move(message_);
}

namespace {

class TicketSend final : public SendHandle {
 public:
  explicit TicketSend(std::shared_ptr<Ticket> ticket) : ticket_(std::move(ticket)) {}
  bool done() const override { return ticket_->done(); }
  void wait(Seconds limit) override { ticket_->wait(limit); }

 private:
  std::shared_ptr<Ticket> ticket_;
};

class TicketReceive final : public ReceiveHandle {
 public:
  explicit TicketReceive(std::shared_ptr<Ticket> ticket) : ticket_(std::move(ticket)) {}
  bool done() const override { return ticket_->done(); }
  Message wait(Seconds limit) override { return ticket_->wait(limit); }

 private:
  std::shared_ptr<Ticket> ticket_;
};

}  // namespace

std::unique_ptr<SendHandle> send_handle(std::shared_ptr<Ticket> ticket) {
  return std::make_unique<TicketSend>(std::move(ticket));
}

std::unique_ptr<ReceiveHandle> receive_handle(std::shared_ptr<Ticket> ticket) {
  return std::make_unique<TicketReceive>(std::move(ticket));
}

}  // namespace lamina
