#pragma once

#include <cstdint>
#include <functional>

#include "lamina/comm/transport.hpp"

namespace lamina::contract {

constexpr Seconds patience(60);
constexpr auto nhwc = at::MemoryFormat::ChannelsLast;

/// The lanes from a worker to the next one, by their place among those of the pair. On `unwatched` go
/// messages whose sender keeps no handle, and so never learns when there is room again.
enum Kind { activations, doubles, marks, vectors, unwatched, num_kinds };

bool has_next(const Transport& t);
bool has_previous(const Transport& t);
int to_next(const Transport& t, Kind kind);
int from_previous(const Transport& t, Kind kind);
const LaneSpec& spec_of(Kind kind);

void barrier(Transport& t);

/// What both ends of a lane expect of its n-th message.
at::Tensor numbered(const LaneTensor& spec, std::int64_t samples, std::int64_t n);
Message numbered_message(Kind kind, std::int64_t samples, std::int64_t n);

/// Also in strides and alignment.
void expect_same(const Message& found, const Message& expected);

/// Sends the messages to the next worker as its buffers allow, and expects the same ones from the previous.
void pass_all(Transport& t, Kind kind, int num_messages, const std::function<Message(int)>& make);

}  // namespace lamina::contract
