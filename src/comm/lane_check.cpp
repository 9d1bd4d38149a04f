#include "comm/lane_check.hpp"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <climits>
#include <functional>
#include <numeric>

#include "lamina/core/error.hpp"

namespace lamina {

namespace {

constexpr std::uintptr_t alignment_bytes = 64;

std::string format_name(at::MemoryFormat format) {
  return format == at::MemoryFormat::Contiguous ? "contiguous" : "channels-last";
}

std::string describe(const LaneTensor& tensor) {
  return fmt::format("{} {}[{}]", format_name(tensor.format), c10::toString(tensor.dtype),
                     fmt::join(tensor.sizes, ","));
}

double num_bytes(const LaneTensor& tensor) {
  return std::accumulate(tensor.sizes.begin(), tensor.sizes.end(), double(c10::elementSize(tensor.dtype)),
                         std::multiplies<>());
}

void check_tensor_spec(const LaneTensor& tensor, const std::string& where) {
  const bool channels_last = tensor.format == at::MemoryFormat::ChannelsLast;
  if (tensor.sizes.empty() ||
      std::any_of(tensor.sizes.begin(), tensor.sizes.end(), [](auto s) { return s < 0; })) {
    refuse(fmt::format("{}: a tensor needs a sample count first and no negative size, found {}", where,
                       describe(tensor)));
  }
  if (!(channels_last ? tensor.sizes.size() == 4 : tensor.format == at::MemoryFormat::Contiguous)) {
    refuse(fmt::format("{}: a tensor is contiguous, or channels-last with four dimensions, found {}", where,
                       describe(tensor)));
  }
  if (num_bytes(tensor) > INT_MAX) {
    refuse(fmt::format("{}: a tensor may have at most {} bytes, found {}", where, INT_MAX, describe(tensor)));
  }
}

bool sizes_fit(at::IntArrayRef sizes, const std::vector<std::int64_t>& largest) {
  return sizes.size() == largest.size() && sizes[0] <= largest[0] &&
         std::equal(sizes.begin() + 1, sizes.end(), largest.begin() + 1);
}

void check_tensor(const at::Tensor& tensor, const LaneTensor& spec, at::DeviceType device,
                  const std::string& where) {
  if (!tensor.defined()) refuse(fmt::format("{}: expected {}, found no tensor", where, describe(spec)));
  if (tensor.scalar_type() != spec.dtype || !sizes_fit(tensor.sizes(), spec.sizes)) {
    refuse(fmt::format("{}: expected {} or fewer samples, found {}[{}]", where, describe(spec),
                       c10::toString(tensor.scalar_type()), fmt::join(tensor.sizes(), ",")));
  }
  if (tensor.device().type() != device || tensor.requires_grad()) {
    refuse(fmt::format("{}: expected a detached tensor on {}, found one on {} that {} gradients", where,
                       c10::DeviceTypeName(device, true), tensor.device().str(),
                       tensor.requires_grad() ? "requires" : "does not require"));
  }
  if (tensor.numel() > 0 && !tensor.is_contiguous(spec.format)) {
    refuse(fmt::format("{}: expected dense {}, found sizes [{}] with strides [{}]", where, describe(spec),
                       fmt::join(tensor.sizes(), ","), fmt::join(tensor.strides(), ",")));
  }
  const auto address = reinterpret_cast<std::uintptr_t>(tensor.const_data_ptr());
  if (tensor.numel() > 0 && address % alignment_bytes != 0) {
    refuse(fmt::format("{}: expected data aligned to {} bytes, found them {} bytes off", where,
                       alignment_bytes, address % alignment_bytes));
  }
}

}  // namespace

void refuse(const std::string& text) {
  throw Error(ErrorKind::contract, text);
}

std::vector<std::int64_t> dense_strides(at::IntArrayRef sizes, at::MemoryFormat format) {
  if (format == at::MemoryFormat::ChannelsLast) return c10::get_channels_last_strides_2d(sizes);
  return at::IntArrayRef(c10::contiguous_strides(sizes)).vec();
}

std::string describe(const LaneSpec& spec) {
  std::vector<std::string> tensors;
  for (const LaneTensor& tensor : spec.tensors) tensors.push_back(describe(tensor));
  return fmt::format("from {} to {}, {} buffers of a header of {} bytes and ({})", spec.from, spec.to,
                     spec.buffers, spec.header_capacity, fmt::join(tensors, "; "));
}

void check_spec(const LaneSpec& spec, int num_workers, const std::string& where) {
  for (const int end : {spec.from, spec.to}) {
    if (end < 0 || end >= num_workers) {
      refuse(fmt::format("{}: its ends must be workers 0 to {}, found {}", where, num_workers - 1, end));
    }
  }
  if (spec.buffers < 2) refuse(fmt::format("{}: it needs at least 2 buffers, found {}", where, spec.buffers));
  if (spec.header_capacity > INT_MAX / 2) {
    refuse(fmt::format("{}: a header may have at most {} bytes, found {}", where, INT_MAX / 2,
                       spec.header_capacity));
  }
  for (const LaneTensor& tensor : spec.tensors) check_tensor_spec(tensor, where);
}

void check_message(Message& message, const LaneSpec& spec, at::DeviceType device, const std::string& where) {
  if (message.header.size() > spec.header_capacity) {
    refuse(fmt::format("{}: expected a header of at most {} bytes, found {}", where, spec.header_capacity,
                       message.header.size()));
  }
  if (message.tensors.size() != spec.tensors.size()) {
    refuse(
        fmt::format("{}: expected {} tensors, found {}", where, spec.tensors.size(), message.tensors.size()));
  }
  for (std::size_t i = 0; i < spec.tensors.size(); ++i) {
    at::Tensor& tensor = message.tensors[i];
    check_tensor(tensor, spec.tensors[i], device, fmt::format("{}, tensor {}", where, i));
    const auto strides = dense_strides(tensor.sizes(), spec.tensors[i].format);
    if (tensor.strides() != at::IntArrayRef(strides)) tensor = tensor.as_strided(tensor.sizes(), strides);
  }
}

}  // namespace lamina
