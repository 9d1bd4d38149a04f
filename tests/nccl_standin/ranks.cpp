#include "ranks.hpp"

#include <gtest/gtest.h>

#include <thread>
#include <utility>

namespace nccl_standin {

bool comes_true(const std::function<bool()>& condition, Milliseconds limit) {
  const auto end = std::chrono::steady_clock::now() + limit;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(Milliseconds(1));
  }
  return true;
}

Rank::Rank(const ncclUniqueId& id, int num_ranks, int rank) : number(rank), stream(create_stream()) {
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  EXPECT_EQ(ncclCommInitRankConfig(&comm, num_ranks, id, rank, &config), ncclInProgress);
  EXPECT_EQ(settle(), ncclSuccess);
}

Rank::~Rank() {
  abort();
  destroy_stream(stream);
}

void Rank::abort() {
  if (comm) ncclCommAbort(std::exchange(comm, nullptr));
}

ncclResult_t Rank::call(const Step& step) const {
  std::vector<float>& buffer = *step.buffer;
  return step.to >= 0 ? ncclSend(buffer.data(), buffer.size(), step.type, step.to, comm, stream)
                      : ncclRecv(buffer.data(), buffer.size(), step.type, step.from, comm, stream);
}

ncclResult_t Rank::call_group(const std::vector<Step>& steps) const {
  ncclGroupStart();
  for (const Step& step : steps) EXPECT_EQ(call(step), ncclSuccess);
  return ncclGroupEnd();
}

ncclResult_t Rank::settle(Milliseconds limit) const {
  ncclResult_t state = ncclInProgress;
  comes_true(
      [&] {
        EXPECT_EQ(ncclCommGetAsyncError(comm, &state), ncclSuccess);
        return state != ncclInProgress;
      },
      limit);
  return state;
}

bool Rank::perform(const std::vector<Step>& steps, Milliseconds limit) const {
  EXPECT_EQ(call_group(steps), ncclInProgress);
  return settle(limit) == ncclSuccess && stream_ends(limit);
}

bool Rank::stream_ends(Milliseconds limit) const {
  return comes_true([event = record(stream)] { return event->done(); }, limit);
}

void use_edge(const Rank& rank, int from, int to) {
  std::vector<float> value(1);
  if (rank.number == from) {
    ASSERT_TRUE(rank.perform({{.to = to, .buffer = &value}}));
  } else if (rank.number == to) {
    ASSERT_TRUE(rank.perform({{.from = from, .buffer = &value}}));
  }
}

void run_ranks(int num_ranks, const std::function<void(Rank&)>& body) {
  ncclUniqueId id;
  ASSERT_EQ(ncclGetUniqueId(&id), ncclSuccess);
  std::vector<std::thread> threads;
  for (int number = 0; number < num_ranks; ++number) {
    threads.emplace_back([&, number] {
      Rank rank(id, num_ranks, number);
      body(rank);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace nccl_standin
