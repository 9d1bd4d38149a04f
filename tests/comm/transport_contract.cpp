#include "comm/transport_contract.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <numeric>
#include <utility>

#include "comm/contract_traffic.hpp"
#include "comm/expect_error.hpp"

namespace lamina::contract {

namespace {

using Sizes = std::vector<std::int64_t>;

constexpr Seconds moment(0.05);

void messages_arrive_in_order(Transport& t) {
  pass_all(t, activations, 200, [](int n) { return numbered_message(activations, n % 9, n); });
}

void tensors_keep_sizes_strides_and_alignment(Transport& t) {
  for (const Kind kind : {activations, doubles, vectors}) {
    const std::int64_t most = spec_of(kind).tensors[0].sizes[0];
    const Sizes samples{most, most - 1, 1, 0, 2, 0, most};
    pass_all(t, kind, static_cast<int>(samples.size()),
             [&](int n) { return numbered_message(kind, samples[static_cast<std::size_t>(n)], n); });
  }
}

// Operators read a memory format from strides even of dimensions of one element, and so differ by them.
void strides_without_meaning_become_the_lanes(Transport& t) {
  const Message expected = numbered_message(vectors, 6, 0);
  std::unique_ptr<SendHandle> sent;
  if (has_next(t)) {
    Message message = expected;
    message.tensors[0] = message.tensors[0].as_strided({6, 32, 1, 1}, {32, 1, 1, 1});
    ASSERT_NE(message.tensors[0].strides(), expected.tensors[0].strides());
    sent = t.send(to_next(t, vectors), message);
  }
  if (has_previous(t)) expect_same(t.receive(from_previous(t, vectors))->wait(patience), expected);
  if (sent) sent->wait(patience);
}

void header_bytes_survive(Transport& t) {
  std::string all_bytes;
  for (int byte = 0; byte < 1000; ++byte) all_bytes.push_back(static_cast<char>(byte));
  const std::vector<std::string> headers{"", all_bytes, std::string(1, '\0'), all_bytes.substr(1), ""};
  pass_all(t, doubles, static_cast<int>(headers.size()), [&](int n) {
    Message message = numbered_message(doubles, 2, n);
    message.header = headers[static_cast<std::size_t>(n)];
    return message;
  });
}

void a_send_beyond_the_buffers_is_refused_and_nothing_is_lost(Transport& t) {
  for (const Kind kind : {activations, doubles, marks}) {
    const int room = spec_of(kind).buffers - 1;
    std::vector<std::unique_ptr<SendHandle>> sent;
    if (has_next(t)) {
      for (int n = 0; n < room; ++n) sent.push_back(t.send(to_next(t, kind), numbered_message(kind, 1, n)));
      expect_error(ErrorKind::contract, [&] { t.send(to_next(t, kind), numbered_message(kind, 1, 99)); });
    }
    barrier(t);
    if (has_previous(t)) {
      for (int n = 0; n < room; ++n) {
        expect_same(t.receive(from_previous(t, kind))->wait(patience), numbered_message(kind, 1, n));
      }
    }
    for (const auto& handle : sent) handle->wait(patience);
    pass_all(t, kind, 3, [&](int n) { return numbered_message(kind, 1, n); });
  }
}

// Between the workers of a pair, 0 and 1, 2 and 3, so that nobody receives behind a send that must wait.
void a_tiny_send_is_not_done_before_its_receive_is_posted(Transport& t) {
  const bool sends = t.worker() % 2 == 0 && has_next(t);
  const bool receives = t.worker() % 2 == 1;
  std::unique_ptr<SendHandle> first;
  std::unique_ptr<SendHandle> second;
  if (sends) {
    first = t.send(to_next(t, marks), {.header = "1", .tensors = {}});
    second = t.send(to_next(t, marks), {.header = "2", .tensors = {}});
    expect_error(ErrorKind::timeout, [&] { first->wait(moment); });
  }
  barrier(t);
  if (receives) {
    EXPECT_EQ(t.receive(from_previous(t, marks))->wait(patience).header, "1");
  }
  if (sends) {
    first->wait(patience);
    EXPECT_TRUE(first->done());
    expect_error(ErrorKind::timeout, [&] { second->wait(moment); });
    EXPECT_FALSE(second->done());
  }
  barrier(t);
  if (receives) {
    EXPECT_EQ(t.receive(from_previous(t, marks))->wait(patience).header, "2");
  }
  if (sends) second->wait(patience);
}

void a_receive_outlives_a_wait_that_timed_out(Transport& t) {
  std::unique_ptr<ReceiveHandle> posted;
  if (has_previous(t)) {
    posted = t.receive(from_previous(t, activations));
    expect_error(ErrorKind::timeout, [&] { posted->wait(moment); });
    EXPECT_FALSE(posted->done());
    expect_error(ErrorKind::contract, [&] { t.receive(from_previous(t, activations)); });
  }
  barrier(t);
  if (has_next(t)) t.send(to_next(t, activations), numbered_message(activations, 5, 7))->wait(patience);
  if (has_previous(t)) {
    expect_same(posted->wait(patience), numbered_message(activations, 5, 7));
    EXPECT_TRUE(posted->done());
    expect_error(ErrorKind::contract, [&] { posted->wait(patience); });
  }
  pass_all(t, activations, 2, [](int n) { return numbered_message(activations, 8, n); });
}

void lanes_do_not_hold_each_other_up(Transport& t) {
  std::unique_ptr<ReceiveHandle> late;
  std::unique_ptr<SendHandle> unread;
  if (has_previous(t)) late = t.receive(from_previous(t, vectors));
  if (has_next(t)) unread = t.send(to_next(t, doubles), numbered_message(doubles, 4, 0));
  barrier(t);
  pass_all(t, activations, 5, [](int n) { return numbered_message(activations, 8, n); });
  pass_all(t, marks, 5, [](int n) { return numbered_message(marks, 0, n); });
  std::unique_ptr<SendHandle> awaited;
  if (has_next(t)) awaited = t.send(to_next(t, vectors), numbered_message(vectors, 3, 0));
  if (has_previous(t)) {
    expect_same(late->wait(patience), numbered_message(vectors, 3, 0));
    expect_same(t.receive(from_previous(t, doubles))->wait(patience), numbered_message(doubles, 4, 0));
  }
  if (awaited) awaited->wait(patience);
  if (unread) unread->wait(patience);
}

void a_message_outlives_its_handle_and_its_senders_tensors(Transport& t) {
  if (has_next(t)) t.send(to_next(t, unwatched), numbered_message(unwatched, 8, 3));
  barrier(t);
  const at::Tensor reuses_freed_memory = numbered(spec_of(unwatched).tensors[0], 8, 4);
  if (has_previous(t)) {
    expect_same(t.receive(from_previous(t, unwatched))->wait(patience), numbered_message(unwatched, 8, 3));
  }
  barrier(t);
}

void a_message_unlike_its_lane_is_refused(Transport& t) {
  if (has_next(t)) {
    const std::pair<const char*, std::function<void(Message&)>> spoilers[] = {
        {"too many samples", [](Message& m) { m.tensors[1] = at::zeros({9}, at::kLong); }},
        {"another height", [](Message& m) { m.tensors[0] = at::zeros({8, 3, 32, 5}).contiguous(nhwc); }},
        {"another rank", [](Message& m) { m.tensors[0] = at::zeros({8, 3, 165}); }},
        {"another type", [](Message& m) { m.tensors[1] = at::zeros({8}, at::kInt); }},
        {"another format", [](Message& m) { m.tensors[0] = m.tensors[0].contiguous(); }},
        {"holes", [](Message& m) { m.tensors[1] = at::zeros({16}, at::kLong).slice(0, 0, 16, 2); }},
        {"not aligned", [](Message& m) { m.tensors[1] = at::zeros({8}, at::kLong).narrow(0, 1, 7); }},
        {"with a graph", [](Message& m) { m.tensors[0].set_requires_grad(true); }},
        {"undefined", [](Message& m) { m.tensors[0] = at::Tensor(); }},
        {"too few tensors", [](Message& m) { m.tensors.pop_back(); }},
        {"too long a header", [](Message& m) { m.header.assign(64 * 1024 + 1, 'x'); }},
    };
    for (const auto& [what, spoil] : spoilers) {
      SCOPED_TRACE(what);
      Message message = numbered_message(activations, 8, 0);
      spoil(message);
      expect_error(ErrorKind::contract, [&] { t.send(to_next(t, activations), message); });
    }
  }
  pass_all(t, activations, 1, [](int n) { return numbered_message(activations, 8, n); });
}

void the_wrong_end_of_a_lane_is_refused(Transport& t) {
  if (has_next(t)) expect_error(ErrorKind::contract, [&] { t.receive(to_next(t, marks)); });
  if (has_previous(t)) expect_error(ErrorKind::contract, [&] { t.send(from_previous(t, marks), {}); });
  const int num_lanes = (t.num_workers() - 1) * num_kinds;
  for (const int absent : {-1, num_lanes}) {
    expect_error(ErrorKind::contract, [&] { t.send(absent, {}); });
    expect_error(ErrorKind::contract, [&] { t.receive(absent); });
  }
  expect_error(ErrorKind::contract, [&] { t.open(lanes(t.num_workers())); });
  pass_all(t, marks, 2, [](int n) { return numbered_message(marks, 0, n); });
}

void every_worker_gathers_every_text(Transport& t) {
  const auto text_of = [](int worker, int round) {
    return std::string(static_cast<std::size_t>(worker * round * 5000), static_cast<char>('a' + worker));
  };
  for (int round = 0; round < 10; ++round) {
    const std::vector<std::string> texts = t.all_gather(text_of(t.worker(), round), patience);
    ASSERT_EQ(texts.size(), static_cast<std::size_t>(t.num_workers()));
    for (int worker = 0; worker < t.num_workers(); ++worker) {
      EXPECT_EQ(texts[static_cast<std::size_t>(worker)], text_of(worker, round))
          << worker << ", round " << round;
    }
  }
}

// What a worker brings to a sum: values whose sum depends on the order in which they are added.
std::vector<at::Tensor> addends(int worker, int number) {
  const at::Tensor steps = at::arange(1, 1 + 7 * 5, at::kFloat).view({7, 5});
  return {steps / static_cast<double>(3 + worker + number),
          at::full({1}, 1e8 * (worker % 2 ? -1 : 1) + worker),
          at::ones({2, 3, 4, 4}).contiguous(nhwc) * worker};
}

void expect_sums(const std::vector<at::Tensor>& found, const std::vector<int>& group, int number) {
  std::vector<at::Tensor> expected = addends(group.front(), number);
  for (std::size_t member = 1; member < group.size(); ++member)
    for (std::size_t i = 0; i < expected.size(); ++i)
      expected[i] = expected[i] + addends(group[member], number)[i];
  ASSERT_EQ(found.size(), expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    EXPECT_TRUE(found[i].is_contiguous());
    EXPECT_TRUE(at::equal(found[i], expected[i])) << "sum " << number << ", tensor " << i;
  }
}

std::vector<int> everybody(const Transport& t) {
  std::vector<int> group(static_cast<std::size_t>(t.num_workers()));
  std::iota(group.begin(), group.end(), 0);
  return group;
}

void sums_are_added_in_the_groups_order(Transport& t) {
  std::vector<std::unique_ptr<SumHandle>> sums;
  for (int number = 0; number < 20; ++number)
    sums.push_back(t.sum(everybody(t), addends(t.worker(), number)));
  for (int number = 0; number < 20; ++number) {
    expect_sums(sums[static_cast<std::size_t>(number)]->wait(patience), everybody(t), number);
    EXPECT_TRUE(sums[static_cast<std::size_t>(number)]->done());
  }
  expect_error(ErrorKind::contract, [&] { sums.front()->wait(patience); });
}

void groups_add_up_by_themselves_while_messages_pass(Transport& t) {
  const bool odd = t.worker() % 2 != 0;
  std::vector<int> group;
  for (const int worker : everybody(t))
    if ((worker % 2 != 0) == odd) group.push_back(worker);
  const auto sum = t.sum(group, addends(t.worker(), 1));
  pass_all(t, activations, 5, [](int n) { return numbered_message(activations, 8, n); });
  expect_sums(sum->wait(patience), group, 1);
}

void a_sum_waits_for_all_its_members(Transport& t) {
  if (t.num_workers() == 1) return;
  std::unique_ptr<SumHandle> sum;
  if (t.worker() == 0) {
    sum = t.sum(everybody(t), addends(0, 0));
    expect_error(ErrorKind::timeout, [&] { sum->wait(moment); });
    EXPECT_FALSE(sum->done());
  }
  barrier(t);
  if (t.worker() != 0) sum = t.sum(everybody(t), addends(t.worker(), 0));
  expect_sums(sum->wait(patience), everybody(t), 0);
}

void a_sum_that_cannot_be_is_refused(Transport& t) {
  const std::vector<at::Tensor> values = addends(t.worker(), 0);
  const int own = t.worker();
  for (const std::vector<int>& group : {std::vector<int>{}, {own + 1}, {own, own}, {own, t.num_workers()}})
    expect_error(ErrorKind::contract, [&] { t.sum(group, values); });
  expect_error(ErrorKind::contract, [&] { t.sum(everybody(t), {}); });
  expect_error(ErrorKind::contract, [&] { t.sum(everybody(t), {values[0], at::ones({2}, at::kDouble)}); });
  sums_are_added_in_the_groups_order(t);
}

}  // namespace

const std::vector<Case>& cases() {
  static const std::vector<Case> all{
      {"MessagesArriveInOrder", messages_arrive_in_order},
      {"TensorsKeepSizesStridesAndAlignment", tensors_keep_sizes_strides_and_alignment},
      {"StridesWithoutMeaningBecomeTheLanes", strides_without_meaning_become_the_lanes},
      {"HeaderBytesSurvive", header_bytes_survive},
      {"ASendBeyondTheBuffersIsRefusedAndNothingIsLost",
       a_send_beyond_the_buffers_is_refused_and_nothing_is_lost},
      {"ATinySendIsNotDoneBeforeItsReceiveIsPosted", a_tiny_send_is_not_done_before_its_receive_is_posted},
      {"AReceiveOutlivesAWaitThatTimedOut", a_receive_outlives_a_wait_that_timed_out},
      {"LanesDoNotHoldEachOtherUp", lanes_do_not_hold_each_other_up, true},
      {"AMessageOutlivesItsHandleAndItsSendersTensors",
       a_message_outlives_its_handle_and_its_senders_tensors},
      {"AMessageUnlikeItsLaneIsRefused", a_message_unlike_its_lane_is_refused},
      {"TheWrongEndOfALaneIsRefused", the_wrong_end_of_a_lane_is_refused},
      {"EveryWorkerGathersEveryText", every_worker_gathers_every_text},
      {"SumsAreAddedInTheGroupsOrder", sums_are_added_in_the_groups_order},
      {"GroupsAddUpByThemselvesWhileMessagesPass", groups_add_up_by_themselves_while_messages_pass},
      {"ASumWaitsForAllItsMembers", a_sum_waits_for_all_its_members},
      {"ASumThatCannotBeIsRefused", a_sum_that_cannot_be_is_refused},
  };
  return all;
}

}  // namespace lamina::contract
