#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lamina/comm/transport.hpp"

namespace lamina {

/// A call that breaks Transport's contract ends here. @throws Error{contract}
[[noreturn]] void refuse(const std::string& text);

/// Strides of a dense tensor of these sizes in this format.
std::vector<std::int64_t> dense_strides(at::IntArrayRef sizes, at::MemoryFormat format);

/// The lane in one line: equal specs read equal.
std::string describe(const LaneSpec& spec);

/// @throws Error{contract}, beginning with `where`, if the spec makes no sense among this many workers.
void check_spec(const LaneSpec& spec, int num_workers, const std::string& where);

/// Checks that the message fits the lane and lies on such a device. Strides that mean nothing, those of
/// dimensions with one element or of empty tensors, are set to the lane's: operators choose their memory
/// format by them. @throws Error{contract}, beginning with `where`.
void check_message(Message& message, const LaneSpec& spec, at::DeviceType device, const std::string& where);

}  // namespace lamina
