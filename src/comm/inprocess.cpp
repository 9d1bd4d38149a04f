#include "lamina/comm/inprocess.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <map>
#include <optional>
#include <utility>

#include "comm/bell.hpp"
#include "comm/gather_timeout.hpp"
#include "comm/group_sum.hpp"
#include "comm/handover.hpp"
#include "comm/lane_book.hpp"
#include "comm/ticket.hpp"
#include "lamina/core/error.hpp"

namespace lamina {

namespace {

struct Parcel {
  std::shared_ptr<Ticket> sender;
  Message message;
  StreamEventPtr given;
};

// A receive, and what its message was handed over with.
struct Arrival {
  std::shared_ptr<Ticket> ticket;
  StreamEventPtr given{};

  void complete(const Bell::Lock& held, Parcel parcel) {
    parcel.sender->complete(held);
    given = std::move(parcel.given);
    ticket->complete(held, std::move(parcel.message));
  }
};

// A lane between two threads: messages wait for a receive, or a receive waits for a message, never both.
struct Shelf {
  std::deque<Parcel> sent;
  std::shared_ptr<Arrival> receiver;
};

// The thread that waits is the one that takes over.
class InprocessReceive final : public ReceiveHandle {
 public:
  InprocessReceive(std::shared_ptr<Arrival> arrival, std::shared_ptr<const Handover> handover)
      : arrival_(std::move(arrival)), handover_(std::move(handover)) {}
  bool done() const override { return arrival_->ticket->done(); }
  Message wait(Seconds limit) override {
    Message message = arrival_->ticket->wait(limit);
    handover_->take(arrival_->given, message.tensors);
    return message;
  }

 private:
  const std::shared_ptr<Arrival> arrival_;
  const std::shared_ptr<const Handover> handover_;
};

// One round of all_gather. Who was late still finds its round's texts after the next round has begun.
struct Round {
  explicit Round(int num_workers) : texts(static_cast<std::size_t>(num_workers)) {}
  std::vector<std::string> texts;
  std::vector<bool> has_come = std::vector<bool>(texts.size());
  std::size_t num_missing = texts.size();
};

// A member's sum, and what it was handed over with.
struct Total {
  std::shared_ptr<SumTicket> ticket;
  StreamEventPtr given{};
};

class InprocessSum final : public SumHandle {
 public:
  InprocessSum(std::shared_ptr<Total> total, std::shared_ptr<const Handover> handover)
      : total_(std::move(total)), handover_(std::move(handover)) {}
  bool done() const override { return total_->ticket->done(); }
  std::vector<at::Tensor> wait(Seconds limit) override {
    std::vector<at::Tensor> sums = total_->ticket->wait(limit);
    handover_->take(total_->given, sums);
    return sums;
  }

 private:
  const std::shared_ptr<Total> total_;
  const std::shared_ptr<const Handover> handover_;
};

// One sum of a group: what its members brought, and who waits for it.
struct Addition {
  explicit Addition(std::size_t size) : values(size), given(size), totals(size), num_missing(size) {}
  std::vector<std::vector<at::Tensor>> values;
  std::vector<StreamEventPtr> given;
  std::vector<std::shared_ptr<Total>> totals;
  std::size_t num_missing;
};

// ((v0 + v1) + v2) + ..., tensor by tensor.
std::vector<at::Tensor> add_in_order(const std::vector<std::vector<at::Tensor>>& values) {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> sums;
  for (const at::Tensor& value : values.front())
    sums.push_back(value.detach().clone(at::MemoryFormat::Contiguous));
  for (std::size_t member = 1; member < values.size(); ++member) at::_foreach_add_(sums, values[member]);
  return sums;
}

// What the workers' transports share. All members are guarded by the bell, which does not change.
struct Room {
  Room(int workers, std::shared_ptr<const Handover> over)
      : num_workers(workers), handover(std::move(over)), round(std::make_shared<Round>(workers)) {}

  const int num_workers;
  const std::shared_ptr<const Handover> handover;
  const std::shared_ptr<Bell> bell = std::make_shared<Bell>();
  std::optional<std::pair<int, std::string>> first_opened;  // by whom, and its lanes
  std::vector<Shelf> shelves;
  std::map<std::pair<std::vector<int>, std::int64_t>, Addition> additions;  // under way, by group and number
  std::shared_ptr<Round> round;
};

class InprocessTransport final : public Transport {
 public:
  InprocessTransport(std::shared_ptr<Room> room, int worker, at::DeviceType device)
      : room_(std::move(room)), worker_(worker), book_(room_->bell, worker, room_->num_workers, device) {}

  int worker() const override { return worker_; }
  int num_workers() const override { return room_->num_workers; }

  void open(const std::vector<LaneSpec>& lanes) override {
    book_.open(lanes);
    const Bell::Lock held = room_->bell->lock();
    if (!room_->first_opened) {
      room_->first_opened.emplace(worker_, book_.text());
      room_->shelves.resize(lanes.size());
    }
    const auto& [other_worker, theirs] = *room_->first_opened;
    book_.require_same(other_worker, theirs);
  }

  std::unique_ptr<SendHandle> send(int lane, Message message) override {
    std::shared_ptr<Ticket> ticket = book_.begin_send(lane, message);
    Parcel parcel{ticket, std::move(message), room_->handover->give()};
    const Bell::Lock held = room_->bell->lock();
    Shelf& shelf = room_->shelves[static_cast<std::size_t>(lane)];
    if (shelf.receiver)
      std::exchange(shelf.receiver, nullptr)->complete(held, std::move(parcel));
    else
      shelf.sent.push_back(std::move(parcel));
    return send_handle(std::move(ticket));
  }

  std::unique_ptr<ReceiveHandle> receive(int lane) override {
    const auto arrival = std::make_shared<Arrival>(Arrival{book_.begin_receive(lane)});
    const Bell::Lock held = room_->bell->lock();
    Shelf& shelf = room_->shelves[static_cast<std::size_t>(lane)];
    if (shelf.sent.empty()) {
      shelf.receiver = arrival;
    } else {
      arrival->complete(held, std::move(shelf.sent.front()));
      shelf.sent.pop_front();
    }
    return std::make_unique<InprocessReceive>(arrival, room_->handover);
  }

  // Who comes last adds for all, so nobody waits.
  std::unique_ptr<SumHandle> sum(const std::vector<int>& group,
                                 const std::vector<at::Tensor>& values) override {
    check_sum(worker_, room_->num_workers, group, values);
    const std::int64_t number = num_sums_[group]++;
    const auto total =
        std::make_shared<Total>(Total{std::make_shared<SumTicket>(room_->bell, worker_, group, number)});
    StreamEventPtr given = room_->handover->give();
    Bell::Lock held = room_->bell->lock();
    room_->bell->require_running(held);
    const auto entry = room_->additions.try_emplace({group, number}, group.size()).first;
    const auto own = std::find(group.begin(), group.end(), worker_) - group.begin();
    entry->second.values[own] = values;
    entry->second.given[own] = std::move(given);
    entry->second.totals[own] = total;
    if (--entry->second.num_missing == 0) {
      const Addition addition = std::move(entry->second);
      room_->additions.erase(entry);
      held.unlock();
      for (std::size_t member = 0; member < group.size(); ++member)
        room_->handover->take(addition.given[member], addition.values[member]);
      const std::vector<at::Tensor> sums = add_in_order(addition.values);
      const StreamEventPtr added = room_->handover->give();
      held.lock();
      for (const auto& waiting : addition.totals) {
        waiting->given = added;
        waiting->ticket->complete(held, sums);
      }
    }
    return std::make_unique<InprocessSum>(total, room_->handover);
  }

  std::vector<std::string> all_gather(const std::string& text, Seconds limit) override {
    Bell::Lock held = room_->bell->lock();
    room_->bell->require_running(held);
    const std::shared_ptr<Round> round = room_->round;
    round->texts[static_cast<std::size_t>(worker_)] = text;
    round->has_come[static_cast<std::size_t>(worker_)] = true;
    if (--round->num_missing == 0) {
      room_->round = std::make_shared<Round>(room_->num_workers);
      room_->bell->ring();
    }
    if (!room_->bell->wait(held, limit, [&] { return round->num_missing == 0; })) {
      std::vector<std::string> missing;
      for (int peer = 0; peer < room_->num_workers; ++peer)
        if (!round->has_come[static_cast<std::size_t>(peer)])
          missing.push_back(fmt::format("worker {}", peer));
      throw gather_timeout(worker_, limit, missing, room_->num_workers);
    }
    return round->texts;
  }

  void abort(const std::string& reason, int) noexcept override { room_->bell->abort(reason); }

 private:
  const std::shared_ptr<Room> room_;
  const int worker_;
  LaneBook book_;
  std::map<std::vector<int>, std::int64_t> num_sums_;  // begun, by group
};

}  // namespace

std::vector<std::unique_ptr<Transport>> make_inprocess_transports(int num_workers, at::DeviceType device,
                                                                  std::shared_ptr<const Handover> handover) {
  const auto room = std::make_shared<Room>(num_workers, std::move(handover));
  std::vector<std::unique_ptr<Transport>> transports;
  for (int worker = 0; worker < num_workers; ++worker) {
    transports.push_back(std::make_unique<InprocessTransport>(room, worker, device));
  }
  return transports;
}

std::vector<std::unique_ptr<Transport>> make_inprocess_transports(int num_workers, at::DeviceType device) {
  return make_inprocess_transports(num_workers, device, make_handover(device));
}

}  // namespace lamina
