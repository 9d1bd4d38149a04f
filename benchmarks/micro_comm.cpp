#include <ATen/ATen.h>
#include <benchmark/benchmark.h>

#include <future>
#include <semaphore>
#include <thread>

#include "lamina/comm/exchange.hpp"
#include "lamina/comm/inprocess.hpp"
#include "lamina/core/error.hpp"

// What a message on a lane and a snapshot between processes cost beside the stages that they connect.

namespace lamina {
namespace {

constexpr Seconds limit{60};

// A batch of 64 behind the first blocks of a CIFAR ResNet.
Message activation() {
  return {.header = "step", .tensors = {at::zeros({64, 16, 32, 32})}};
}

std::vector<LaneSpec> there_and_back() {
  const std::vector<LaneTensor> tensors{{.dtype = at::kFloat, .sizes = {64, 16, 32, 32}}};
  return {{.from = 0, .to = 1, .tensors = tensors}, {.from = 1, .to = 0, .tensors = tensors}};
}

Message take(Transport& transport, int lane) {
  return transport.receive(lane)->wait(limit);
}

// Sends back whatever comes, until the transport is aborted.
void echo(Transport& transport) {
  try {
    transport.open(there_and_back());
    while (true) transport.send(1, take(transport, 0));
  } catch (const Error&) {
  }
}

// A message to another thread and the answer: twice a lane's work, and twice a thread that wakes up.
void lane_round_trip(benchmark::State& state) {
  const auto transports = make_inprocess_transports(2);
  const std::jthread other([&] { echo(*transports[1]); });
  transports[0]->open(there_and_back());
  Message message = activation();
  for (auto _ : state) {
    transports[0]->send(0, std::move(message));
    message = take(*transports[0], 1);
  }
  transports[0]->abort("done", 0);
}
BENCHMARK(lane_round_trip)->UseRealTime();

// Two exchanges of this process: worker 1 owns a part of so many numbers, worker 0 is sent its versions.
class ExchangePair {
 public:
  explicit ExchangePair(const at::Tensor& like) {
    auto reading = std::async(std::launch::async, [&] {
      reader_->connect(
          {{.worker = 1, .address = owner_->address(), .receives = {snapshot_shape("part", {like})}}}, limit);
    });
    owner_->connect({{.worker = 0, .address = reader_->address(), .receives = {}}}, limit);
    reading.get();
  }
  ~ExchangePair() {
    auto ending = std::async(std::launch::async, [&] { reader_->finish(limit); });
    owner_->finish(limit);
    ending.get();
  }

  /// Returns once the snapshot has arrived; false if that failed.
  bool carry(std::shared_ptr<const Snapshot> snapshot) {
    owner_->send(0, std::move(snapshot));
    arrived_.acquire();
    return !failed_;
  }

 private:
  std::unique_ptr<Exchange> exchange(int worker) {
    return make_exchange(
        {.worker = worker, .token = "00112233445566778899aabbccddeeff", .interface = "127.0.0.1"},
        [this](const std::shared_ptr<const Snapshot>&) { arrived_.release(); },
        [this](int, const Error&) {
          failed_ = true;
          arrived_.release();
        });
  }

  std::counting_semaphore<> arrived_{0};
  std::atomic<bool> failed_ = false;
  std::unique_ptr<Exchange> reader_ = exchange(0);
  std::unique_ptr<Exchange> owner_ = exchange(1);
};

void exchange_snapshot(benchmark::State& state) {
  const at::Tensor values = at::zeros({state.range(0)});
  ExchangePair pair(values);
  std::int64_t version = 0;
  for (auto _ : state) {
    const auto snapshot =
        std::make_shared<const Snapshot>(Snapshot{.part = "part", .version = version++, .tensors = {values}});
    if (!pair.carry(snapshot)) {
      state.SkipWithError("the connection is lost");
      break;
    }
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(values.nbytes()));
}
BENCHMARK(exchange_snapshot)->Arg(1 << 8)->Arg(1 << 16)->Arg(1 << 20)->UseRealTime();

}  // namespace
}  // namespace lamina
