#include "lamina/comm/inprocess.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <functional>
#include <tuple>

#include "comm/expect_error.hpp"
#include "comm/run_workers.hpp"
#include "comm/transport_contract.hpp"

namespace lamina {
namespace {

class InprocessContract : public testing::TestWithParam<std::tuple<contract::Case, int>> {};

TEST_P(InprocessContract, Holds) {
  const auto& [contract_case, num_workers] = GetParam();
  run_workers(make_inprocess_transports(num_workers), [&](Transport& transport) {
    transport.open(contract::lanes(transport.num_workers()));
    transport.all_gather("", Seconds(60));
    contract_case.body(transport);
  });
}

INSTANTIATE_TEST_SUITE_P(Transport, InprocessContract,
                         testing::Combine(testing::ValuesIn(contract::cases()), testing::Values(1, 2, 4)),
                         [](const auto& test) {
                           return std::get<0>(test.param).name + "With" +
                                  std::to_string(std::get<1>(test.param));
                         });

const std::vector<LaneSpec> one_lane{{.from = 0, .to = 1, .tensors = {{at::kFloat, {4, 64}}}}};

Transports open_pair() {
  Transports pair = make_inprocess_transports(2);
  for (const auto& transport : pair) transport->open(one_lane);
  return pair;
}

TEST(InprocessTransport, HandsOverTheVeryStorageThatWasSent) {
  const Transports pair = open_pair();
  const at::Tensor sent = at::rand({4, 64});
  pair[0]->send(0, {.header = "", .tensors = {sent}});
  const Message received = pair[1]->receive(0)->wait(Seconds(0));
  EXPECT_EQ(received.tensors[0].const_data_ptr(), sent.const_data_ptr());
}

TEST(InprocessTransport, SendIsDoneAtOnceWhenAReceiveIsPosted) {
  const Transports pair = open_pair();
  const auto receive = pair[1]->receive(0);
  EXPECT_FALSE(receive->done());
  EXPECT_TRUE(pair[0]->send(0, {.header = "", .tensors = {at::rand({4, 64})}})->done());
  EXPECT_TRUE(receive->done());
}

TEST(InprocessTransport, KeepsNoTensorOnceTheReceiverHasDroppedIt) {
  const Transports pair = open_pair();
  at::Tensor sent = at::rand({4, 64});
  const auto handle = pair[0]->send(0, {.header = "", .tensors = {sent}});
  pair[1]->receive(0)->wait(Seconds(0));
  EXPECT_EQ(sent.use_count(), 1u);
}

TEST(InprocessTransport, AbortWakesEveryWaiterAtEveryWorkerWithTheFirstReason) {
  const Transports transports = make_inprocess_transports(4);
  const std::vector<LaneSpec> lanes{{.from = 0, .to = 1, .tensors = {}}, {.from = 2, .to = 0, .tensors = {}}};
  for (const auto& transport : transports) transport->open(lanes);
  const std::function<void(Transport&)> waits[] = {
      [](Transport& t) { t.send(0, {})->wait(Seconds(60)); },
      [](Transport& t) { t.all_gather("", Seconds(60)); },
      [](Transport& t) { t.send(1, {})->wait(Seconds(60)); },
  };
  run_workers(transports, [&](Transport& transport) {
    if (transport.worker() == 3) {
      transport.abort("the disk is full", 5);
      transport.abort("a second reason", 5);
      return;
    }
    try {
      waits[transport.worker()](transport);
      ADD_FAILURE() << "worker " << transport.worker() << " was not woken";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::peer_lost);
      EXPECT_STREQ(error.what(), "the disk is full");
    }
  });
}

TEST(InprocessTransport, NothingStartsAfterAnAbort) {
  const Transports pair = open_pair();
  const auto posted = pair[1]->receive(0);
  pair[1]->abort("over", 1);
  expect_error(ErrorKind::peer_lost, [&] { posted->wait(Seconds(60)); });
  expect_error(ErrorKind::peer_lost,
               [&] { pair[0]->send(0, {.header = "", .tensors = {at::rand({4, 64})}}); });
  expect_error(ErrorKind::peer_lost, [&] { pair[1]->receive(0); });
  expect_error(ErrorKind::peer_lost, [&] { pair[0]->all_gather("", Seconds(60)); });
}

TEST(InprocessTransport, HandlesMayOutliveTheTransport) {
  Transports pair = open_pair();
  const auto receive = pair[1]->receive(0);
  pair[0]->send(0, {.header = "late", .tensors = {at::rand({4, 64})}});
  pair.clear();
  EXPECT_EQ(receive->wait(Seconds(0)).header, "late");
}

TEST(InprocessTransport, GatherTimesOutWhenAWorkerStaysAway) {
  const Transports pair = open_pair();
  expect_error(ErrorKind::timeout, [&] { pair[0]->all_gather("", Seconds(0.01)); });
}

TEST(InprocessTransport, LanesMustBeOpenedAlikeByAll) {
  const Transports pair = make_inprocess_transports(2);
  std::vector<LaneSpec> unlike = one_lane;
  unlike[0].tensors[0].sizes[1] = 65;
  pair[0]->open(one_lane);
  expect_error(ErrorKind::contract, [&] { pair[1]->open(unlike); });
}

}  // namespace
}  // namespace lamina
