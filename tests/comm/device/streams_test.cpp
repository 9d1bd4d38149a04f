// What Lamina asks of a device's streams, events and memory, asked of a device that is played on the host.
#include <ATen/ATen.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <gtest/gtest.h>

#include <future>
#include <optional>
#include <thread>

#include "comm/run_workers.hpp"
#include "comm/side_stream.hpp"
#include "fake_device.hpp"
#include "lamina/comm/device.hpp"
#include "lamina/comm/device_clock.hpp"
#include "lamina/comm/host_copies.hpp"
#include "lamina/comm/inprocess.hpp"

namespace lamina {
namespace {

using fake_device::device;

constexpr Seconds patience(60);
constexpr std::chrono::milliseconds chance(50);  // that what must not happen gets to happen

// Keeps the calling thread's stream from going on.
class Gate {
 public:
  Gate() {
    fake_device::enqueue([open = open_.get_future().share()] { open.wait(); });
  }
  void open() { open_.set_value(); }

 private:
  std::promise<void> open_;
};

// A tensor of the device that the calling thread's stream fills when it comes to it.
at::Tensor filled(double value, at::IntArrayRef sizes = {4, 64}) {
  const at::Tensor tensor = at::empty(sizes, at::dtype(at::kFloat).device(device));
  tensor.copy_(at::full(sizes, value, at::kFloat), /*non_blocking=*/true);
  return tensor;
}

// Waits for the calling thread's stream.
bool is_full_of(const at::Tensor& tensor, double value) {
  const at::Tensor on_host = at::empty(tensor.sizes(), at::kFloat);
  on_host.copy_(tensor);
  return on_host.eq(value).all().item<bool>();
}

c10::Stream current_stream() {
  return c10::impl::VirtualGuardImpl(device.type()).getStream(device);
}

TEST(OwnStream, EveryThreadComputesInAnotherAndGoesBackToItsOld) {
  const c10::Stream before = current_stream();
  std::optional<c10::Stream> theirs;
  {
    const OwnStream own(device);
    EXPECT_NE(current_stream(), before);
    std::thread([&] {
      const OwnStream another(device);
      theirs = current_stream();
    }).join();
    EXPECT_NE(*theirs, current_stream());
    EXPECT_NE(*theirs, before);
  }
  EXPECT_EQ(current_stream(), before);
}

TEST(SideStream, BeginsBehindTheStreamThatComputesAndTheOtherWayRound) {
  const auto side = make_side_stream(device);
  Gate gate;
  const at::Tensor made = filled(1);
  std::optional<at::Tensor> copied;
  side->wait_for(side->record_current());
  side->run([&] { copied = made.clone(); });
  const StreamEventPtr end = side->record();
  EXPECT_FALSE(end->done());
  side->block_current(end);
  const at::Tensor again = copied->clone();
  gate.open();
  EXPECT_TRUE(is_full_of(again, 1));
  EXPECT_TRUE(end->done());
}

TEST(DeviceCopies, ADownloadIsOfTheMomentOfTheCallAndKeepsNobodyWaiting) {
  const auto copies = make_host_copies(device);
  std::promise<std::vector<at::Tensor>> arrived;
  auto future = arrived.get_future();
  Gate gate;
  at::Tensor parameter = filled(1);
  copies->download({parameter}, [&](std::vector<at::Tensor> made) { arrived.set_value(std::move(made)); });
  parameter.copy_(at::full({4, 64}, 2.0f), /*non_blocking=*/true);  // the next update
  EXPECT_EQ(future.wait_for(chance), std::future_status::timeout);
  gate.open();
  const std::vector<at::Tensor> made = future.get();
  ASSERT_EQ(made.size(), 1u);
  EXPECT_TRUE(made[0].is_cpu());
  EXPECT_TRUE(made[0].eq(1).all().item<bool>());
  EXPECT_TRUE(is_full_of(parameter, 2));
}

TEST(DeviceCopies, DownloadsKeepStridesAndComeInOrder) {
  const auto copies = make_host_copies(device);
  std::vector<double> seen;
  for (int i = 0; i < 20; ++i) {
    const at::Tensor tensor =
        at::empty({2, 3, 4, 4}, at::dtype(at::kFloat).device(device), at::MemoryFormat::ChannelsLast);
    tensor.copy_(at::full({2, 3, 4, 4}, i, at::kFloat), /*non_blocking=*/true);
    copies->download({tensor}, [&, strides = tensor.strides().vec()](const std::vector<at::Tensor>& made) {
      EXPECT_EQ(made[0].strides().vec(), strides);
      seen.push_back(made[0].mean().item<double>());
    });
  }
  copies->finish();
  ASSERT_EQ(seen.size(), 20u);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(seen[static_cast<std::size_t>(i)], i);
}

TEST(DeviceCopies, AnUploadComesBehindWhatStillReadsTheOldAndAheadOfWhatIsNext) {
  const auto copies = make_host_copies(device);
  const at::Tensor shadow = filled(1);
  Gate gate;
  const at::Tensor before = shadow.clone();
  copies->upload({at::full({4, 64}, 2.0f)}, {shadow});
  const at::Tensor after = shadow.clone();
  std::this_thread::sleep_for(chance);
  gate.open();
  EXPECT_TRUE(is_full_of(before, 1));
  EXPECT_TRUE(is_full_of(after, 2));
}

const std::vector<LaneSpec> one_lane{{.from = 0, .to = 1, .tensors = {{at::kFloat, {4, 64}}}}};

// A worker whose stream sends a tensor only when it is let go, and one whose stream reads it when it is let
// go.
struct Pair {
  explicit Pair(bool receive_first) {
    for (const auto& transport : transports) transport->open(one_lane);
    std::unique_ptr<ReceiveHandle> receive;
    if (receive_first) receive = transports[1]->receive(0);
    std::thread([&] {
      const OwnStream own(device);
      sender.emplace();
      transports[0]->send(0, {.header = "", .tensors = {filled(1)}});
    }).join();
    if (!receive_first) receive = transports[1]->receive(0);
    receiver.emplace();
    read = receive->wait(patience).tensors[0].clone();
  }
  const Transports transports = make_inprocess_transports(2, device.type());
  const OwnStream of_the_receiver{device};
  std::optional<Gate> sender, receiver;
  at::Tensor read;
};

TEST(InprocessTransport, AReceiversStreamWaitsForTheSendersAndItsThreadDoesNot) {
  for (const bool receive_first : {true, false}) {
    Pair pair(receive_first);
    pair.receiver->open();
    std::this_thread::sleep_for(chance);
    pair.sender->open();
    EXPECT_TRUE(is_full_of(pair.read, 1));
  }
}

TEST(InprocessTransport, MemoryIsTheReceiversUntilItsStreamHasReadIt) {
  for (const bool receive_first : {true, false}) {
    Pair pair(receive_first);
    pair.sender->open();
    std::this_thread::sleep_for(chance);
    pair.receiver->open();
    EXPECT_TRUE(is_full_of(pair.read, 1));
  }
}

TEST(InprocessTransport, SumsOverStreams) {
  const Transports transports = make_inprocess_transports(3, device.type());
  run_workers(transports, [&](Transport& transport) {
    const OwnStream own(device);
    transport.open({});
    for (int round = 0; round < 20; ++round) {
      Gate gate;
      auto sum = transport.sum({0, 1, 2}, {filled(transport.worker() + round)});
      const at::Tensor total = sum->wait(patience).front().clone();
      gate.open();
      EXPECT_TRUE(is_full_of(total, 3 + 3 * round));
    }
  });
}

// What the stream has passed, once it has done all that it was given.
std::vector<Clock::time_point> all_passed(DeviceClock& clock) {
  fake_device::synchronize();
  return clock.passed();
}

TEST(DeviceClock, TellsWhenTheStreamPassesAMarkAndNotWhenItWasGiven) {
  const OwnStream own(device);
  DeviceClock clock(device);
  clock.mark();
  ASSERT_EQ(all_passed(clock).size(), 1U);
  Gate gate;
  clock.mark();
  const Clock::time_point given = Clock::now();
  std::this_thread::sleep_for(chance);
  EXPECT_TRUE(clock.passed().empty());  // which is what ties the device's clock to the host's
  gate.open();
  const std::vector<Clock::time_point> passed = all_passed(clock);
  ASSERT_EQ(passed.size(), 1U);
  EXPECT_GE(passed.front(), given + chance);
  EXPECT_LE(passed.front(), Clock::now());
  EXPECT_TRUE(clock.passed().empty());
}

TEST(DeviceClock, KeepsTheMarksOrder) {
  const OwnStream own(device);
  DeviceClock clock(device);
  const Clock::time_point before = Clock::now();
  for (int mark = 0; mark < 100; ++mark) {
    clock.mark();
    fake_device::enqueue([] { std::this_thread::sleep_for(std::chrono::microseconds(100)); });
  }
  const std::vector<Clock::time_point> passed = all_passed(clock);
  ASSERT_EQ(passed.size(), 100U);
  EXPECT_GE(passed.front(), before);
  for (std::size_t mark = 1; mark < passed.size(); ++mark)
    EXPECT_GE(passed[mark] - passed[mark - 1], std::chrono::microseconds(99)) << mark;
}

}  // namespace
}  // namespace lamina
