#include "comm/contract_traffic.hpp"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <utility>

#include "comm/transport_contract.hpp"

namespace lamina::contract {

using Sizes = std::vector<std::int64_t>;

namespace {

constexpr auto dense = at::MemoryFormat::Contiguous;

std::vector<LaneSpec> lanes_between(int from, int to) {
  return {
      {.from = from, .to = to, .tensors = {{at::kFloat, {8, 3, 33, 5}, nhwc}, {at::kLong, {8}, dense}}},
      {.from = from,
       .to = to,
       .tensors = {{at::kDouble, {4, 3}, dense}},
       .header_capacity = 1000,
       .buffers = 4},
      {.from = from, .to = to, .tensors = {}, .header_capacity = 16, .buffers = 3},
      {.from = from, .to = to, .tensors = {{at::kFloat, {6, 32, 1, 1}, nhwc}}},
      {.from = from, .to = to, .tensors = {{at::kFloat, {8, 3, 33, 5}, nhwc}}},
  };
}

}  // namespace

std::vector<LaneSpec> lanes(int num_workers) {
  std::vector<LaneSpec> all;
  for (int from = 0; from + 1 < num_workers; ++from) {
    for (LaneSpec& spec : lanes_between(from, from + 1)) all.push_back(std::move(spec));
  }
  return all;
}

bool has_next(const Transport& t) {
  return t.worker() + 1 < t.num_workers();
}
bool has_previous(const Transport& t) {
  return t.worker() > 0;
}
int to_next(const Transport& t, Kind kind) {
  return t.worker() * num_kinds + kind;
}
int from_previous(const Transport& t, Kind kind) {
  return to_next(t, kind) - num_kinds;
}
const LaneSpec& spec_of(Kind kind) {
  static const std::vector<LaneSpec> specs = lanes_between(0, 1);
  return specs[kind];
}

void barrier(Transport& t) {
  t.all_gather("", patience);
}

at::Tensor numbered(const LaneTensor& spec, std::int64_t samples, std::int64_t n) {
  Sizes sizes = spec.sizes;
  sizes[0] = samples;
  const at::Tensor tensor = at::empty(sizes, at::dtype(spec.dtype), spec.format);
  at::Tensor values = at::arange(tensor.numel(), at::dtype(at::kDouble)).add(1000.0 * static_cast<double>(n));
  return tensor.copy_(values.reshape(sizes));
}

Message numbered_message(Kind kind, std::int64_t samples, std::int64_t n) {
  Message message{.header = fmt::format("m{}", n), .tensors = {}};
  for (const LaneTensor& spec : spec_of(kind).tensors) message.tensors.push_back(numbered(spec, samples, n));
  return message;
}

void expect_same(const Message& found, const Message& expected) {
  EXPECT_EQ(found.header, expected.header);
  ASSERT_EQ(found.tensors.size(), expected.tensors.size());
  for (std::size_t i = 0; i < expected.tensors.size(); ++i) {
    EXPECT_EQ(found.tensors[i].scalar_type(), expected.tensors[i].scalar_type());
    EXPECT_EQ(found.tensors[i].sizes(), expected.tensors[i].sizes());
    EXPECT_EQ(found.tensors[i].strides(), expected.tensors[i].strides());
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(found.tensors[i].const_data_ptr()) % 64, 0u);
    EXPECT_TRUE(found.tensors[i].equal(expected.tensors[i]))
        << "in tensor " << i << " of " << expected.header;
  }
}

// before.
void pass_all(Transport& t, Kind kind, int num_messages, const std::function<Message(int)>& make) {
  std::deque<std::unique_ptr<SendHandle>> sent;
  for (int n = 0; n < num_messages; ++n) {
    if (has_next(t)) {
      if (static_cast<int>(sent.size()) == spec_of(kind).buffers - 1) {
        sent.front()->wait(patience);
        sent.pop_front();
      }
      sent.push_back(t.send(to_next(t, kind), make(n)));
    }
    if (has_previous(t)) expect_same(t.receive(from_previous(t, kind))->wait(patience), make(n));
  }
  for (const auto& handle : sent) handle->wait(patience);
}

}  // namespace lamina::contract
