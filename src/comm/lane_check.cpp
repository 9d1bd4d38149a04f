#include "comm/lane_check.hpp"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <climits>
#include <functional>
#include <numeric>
#include <utility>

#include "lamina/core/error.hpp"

namespace lamina {

namespace {

constexpr std::uintptr_t alignment_bytes = 64;

[[noreturn]] void refuse(const std::string& text) {
  throw Error(ErrorKind::contract, text);
}

std::string format_name(at::MemoryFormat format) {
  return format == at::MemoryFormat::Contiguous ? "contiguous" : "channels-last";
}

std::string describe(const LaneTensor& tensor) {
  return fmt::format("{} {}[{}]", format_name(tensor.format), c10::toString(tensor.dtype),
                     fmt::join(tensor.sizes, ","));
}

std::string describe(const LaneSpec& spec) {
  std::vector<std::string> tensors;
  for (const LaneTensor& tensor : spec.tensors) tensors.push_back(describe(tensor));
  return fmt::format("from {} to {}, {} buffers of a header of {} bytes and ({})", spec.from, spec.to,
                     spec.buffers, spec.header_capacity, fmt::join(tensors, "; "));
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

bool sizes_fit(at::IntArrayRef sizes, const std::vector<std::int64_t>& largest) {
  return sizes.size() == largest.size() && sizes[0] <= largest[0] &&
         std::equal(sizes.begin() + 1, sizes.end(), largest.begin() + 1);
}

void check_tensor(const at::Tensor& tensor, const LaneTensor& spec, const std::string& where) {
  if (!tensor.defined()) refuse(fmt::format("{}: expected {}, found no tensor", where, describe(spec)));
  if (tensor.scalar_type() != spec.dtype || !sizes_fit(tensor.sizes(), spec.sizes)) {
    refuse(fmt::format("{}: expected {} or fewer samples, found {}[{}]", where, describe(spec),
                       c10::toString(tensor.scalar_type()), fmt::join(tensor.sizes(), ",")));
  }
  if (!tensor.device().is_cpu() || tensor.requires_grad()) {
    refuse(fmt::format("{}: expected a detached tensor on the CPU, found one on {} that {} gradients", where,
                       tensor.device().str(), tensor.requires_grad() ? "requires" : "does not require"));
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

void check_message(Message& message, const LaneSpec& spec, const std::string& where) {
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
    check_tensor(tensor, spec.tensors[i], fmt::format("{}, tensor {}", where, i));
    const auto strides = dense_strides(tensor.sizes().vec(), spec.tensors[i].format);
    if (tensor.strides() != at::IntArrayRef(strides)) tensor = tensor.as_strided(tensor.sizes(), strides);
  }
}

}  // namespace

std::vector<std::int64_t> dense_strides(const std::vector<std::int64_t>& sizes, at::MemoryFormat format) {
  if (format == at::MemoryFormat::ChannelsLast) return c10::get_channels_last_strides_2d(sizes);
  const c10::DimVector strides = c10::contiguous_strides(sizes);
  return {strides.begin(), strides.end()};
}

LaneBook::LaneBook(std::shared_ptr<Bell> bell, int worker, int num_workers)
    : bell_(std::move(bell)), worker_(worker), num_workers_(num_workers) {}

void LaneBook::open(const std::vector<LaneSpec>& lanes) {
  if (!lanes_.empty()) refuse(fmt::format("worker {}: its lanes are already open", worker_));
  for (std::size_t i = 0; i < lanes.size(); ++i)
    check_spec(lanes[i], num_workers_, fmt::format("lane {}", i));
  for (const LaneSpec& spec : lanes) {
    text_ += fmt::format("lane {} {}\n", lanes_.size(), describe(spec));
    lanes_.push_back({.spec = spec});
  }
}

void LaneBook::require_same(int other_worker, const std::string& theirs) const {
  if (theirs == text_) return;
  const auto first_difference = std::mismatch(text_.begin(), text_.end(), theirs.begin(), theirs.end()).first;
  const std::size_t line = std::string(text_.begin(), first_difference).rfind('\n') + 1;
  const auto line_of = [line](const std::string& text) {
    return line < text.size() ? text.substr(line, text.find('\n', line) - line) : "no further lane";
  };
  refuse(fmt::format("worker {} opens {}, but worker {} opens {}", worker_, line_of(text_), other_worker,
                     line_of(theirs)));
}

LaneBook::Lane& LaneBook::at_end(int lane, int LaneSpec::* end, const char* verb) {
  bell_->require_running(bell_->lock());
  if (lane < 0 || lane >= static_cast<int>(lanes_.size())) {
    refuse(fmt::format("worker {} {} lane {}, but {} lanes are open", worker_, verb, lane, lanes_.size()));
  }
  Lane& found = lanes_[static_cast<std::size_t>(lane)];
  if (found.spec.*end != worker_) {
    refuse(fmt::format("worker {} {} lane {}, which is of worker {}", worker_, verb, lane, found.spec.*end));
  }
  return found;
}

std::shared_ptr<Ticket> LaneBook::begin_send(int lane, Message& message) {
  Lane& to_send = at_end(lane, &LaneSpec::from, "sends on");
  check_message(message, to_send.spec, fmt::format("lane {}", lane));
  while (!to_send.sends.empty() && to_send.sends.front()->done()) to_send.sends.pop_front();
  if (static_cast<int>(to_send.sends.size()) >= to_send.spec.buffers - 1) {
    refuse(fmt::format("worker {} sends on lane {} while {} sends are outstanding; with {} buffers {} may be",
                       worker_, lane, to_send.sends.size(), to_send.spec.buffers, to_send.spec.buffers - 1));
  }
  to_send.sends.push_back(
      std::make_shared<Ticket>(bell_, Ticket::Way::send, lane, to_send.spec, to_send.num_sent++));
  return to_send.sends.back();
}

std::shared_ptr<Ticket> LaneBook::begin_receive(int lane) {
  Lane& to_receive = at_end(lane, &LaneSpec::to, "receives on");
  if (to_receive.receive && !to_receive.receive->waited()) {
    refuse(fmt::format("worker {} receives on lane {}, but has not waited for its last receive there",
                       worker_, lane));
  }
  to_receive.receive =
      std::make_shared<Ticket>(bell_, Ticket::Way::receive, lane, to_receive.spec, to_receive.num_received++);
  return to_receive.receive;
}

}  // namespace lamina
