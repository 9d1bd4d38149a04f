// That in-process workers hand tensors over with the sender's event and the receiver's stream; the streams
// are made up.
#include "comm/handover.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <mutex>
#include <set>
#include <thread>

#include "comm/run_workers.hpp"

namespace lamina {
namespace {

struct Point final : StreamEvent {
  explicit Point(std::thread::id of) : thread(of) {}
  bool done() const override { return true; }
  std::thread::id thread;  // whose stream it is in
};

// Keeps account of who took what from whom.
class Witness final : public Handover {
 public:
  struct Taken {
    std::thread::id from, by;
    StreamEventPtr given;
    std::vector<const void*> memory;
  };

  StreamEventPtr give() const override { return std::make_shared<Point>(std::this_thread::get_id()); }
  void take(const StreamEventPtr& given, const std::vector<at::Tensor>& tensors) const override {
    Taken taken{.from = static_cast<const Point&>(*given).thread,
                .by = std::this_thread::get_id(),
                .given = given,
                .memory = {}};
    for (const at::Tensor& tensor : tensors) taken.memory.push_back(tensor.const_data_ptr());
    const std::lock_guard lock(mutex_);
    taken_.push_back(std::move(taken));
  }

  std::vector<Taken> taken() const {
    const std::lock_guard lock(mutex_);
    return taken_;
  }

  bool has_taken(const at::Tensor& tensor, std::thread::id from) const {
    const std::vector<Taken> all = taken();
    return std::any_of(all.begin(), all.end(), [&](const Taken& one) {
      return one.by == std::this_thread::get_id() && one.from == from &&
             std::find(one.memory.begin(), one.memory.end(), tensor.const_data_ptr()) != one.memory.end();
    });
  }

 private:
  mutable std::mutex mutex_;
  mutable std::vector<Taken> taken_;
};

const std::vector<LaneSpec> handed_lane{
    {.from = 0, .to = 1, .tensors = {{at::kFloat, {4, 64}}, {at::kLong, {4}}}}};

Message a_message() {
  return {.header = "", .tensors = {at::rand({4, 64}), at::zeros({4}, at::kLong)}};
}

// Once with the receive posted first, once with the send.
TEST(Handover, AReceiverTakesAMessageFromTheSendersStreamIntoItsOwn) {
  for (const bool receive_first : {true, false}) {
    const auto witness = std::make_shared<Witness>();
    const Transports pair = make_inprocess_transports(2, at::kCPU, witness);
    for (const auto& transport : pair) transport->open(handed_lane);
    std::unique_ptr<ReceiveHandle> receive;
    if (receive_first) receive = pair[1]->receive(0);
    std::thread::id sender;
    std::thread([&] {
      sender = std::this_thread::get_id();
      pair[0]->send(0, a_message());
    }).join();
    if (!receive_first) receive = pair[1]->receive(0);
    EXPECT_TRUE(witness->taken().empty()) << "before the receiver asked for it";
    const Message found = receive->wait(Seconds(0));
    ASSERT_EQ(witness->taken().size(), 1u);
    for (const at::Tensor& tensor : found.tensors) EXPECT_TRUE(witness->has_taken(tensor, sender));
  }
}

// Who adds takes all members' values, and every member takes the sums from who has added.
TEST(Handover, SumsAreTakenFromAllMembersAndByAllMembers) {
  constexpr int num_workers = 3;
  const auto witness = std::make_shared<Witness>();
  const Transports transports = make_inprocess_transports(num_workers, at::kCPU, witness);
  std::vector<at::Tensor> values;
  for (int w = 0; w < num_workers; ++w) values.push_back(at::full({5}, w));
  std::mutex mutex;
  std::set<std::thread::id> members, adders;
  run_workers(transports, [&](Transport& transport) {
    transport.open({});
    const auto sum = transport.sum({0, 1, 2}, {values[static_cast<std::size_t>(transport.worker())]});
    const at::Tensor total = sum->wait(Seconds(60)).front();
    EXPECT_EQ(total.sum().item<double>(), 15);
    const auto all = witness->taken();
    const auto own = std::find_if(all.begin(), all.end(), [&](const Witness::Taken& one) {
      return one.by == std::this_thread::get_id() && one.memory.front() == total.const_data_ptr();
    });
    ASSERT_NE(own, all.end());
    const std::lock_guard lock(mutex);
    members.insert(std::this_thread::get_id());
    adders.insert(own->from);
  });
  ASSERT_EQ(adders.size(), 1u) << "all sums are of one thread";
  std::set<std::thread::id> givers;
  for (const Witness::Taken& one : witness->taken())
    for (const at::Tensor& value : values)
      if (one.memory.front() == value.const_data_ptr()) {
        EXPECT_EQ(one.by, *adders.begin());
        givers.insert(one.from);
      }
  EXPECT_EQ(givers, members);
}

}  // namespace
}  // namespace lamina
