#include "comm/exchange_frame.hpp"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "comm/lane_check.hpp"

namespace lamina {

namespace {

constexpr std::uint32_t frame_magic = 0x534d414c;
constexpr std::uint64_t text_limit_bytes = 64 * 1024;
constexpr std::uint64_t text_beyond_bytes = 4 * 1024;  // for a wrong text, that it may be named

bool is_printable(char c) {
  return c >= ' ' && c <= '~';
}

// What a peer sent may hold anything; a message is one line of bearable length.
std::string printable(std::string_view text) {
  constexpr std::size_t longest = 160;
  std::string line(text.substr(0, longest));
  std::replace_if(line.begin(), line.end(), [](char c) { return !is_printable(c); }, '?');
  return text.size() > longest ? line + "..." : line;
}

std::string frame_text(const SnapshotShape& shape) {
  std::string text = shape.part + "\n";
  for (const SnapshotTensor& tensor : shape.tensors) {
    text += fmt::format("{}[{}] with strides [{}]\n", c10::toString(tensor.dtype),
                        fmt::join(tensor.sizes, ","), fmt::join(tensor.strides, ","));
  }
  return text;
}

std::uint64_t num_bytes(const SnapshotShape& shape) {
  std::uint64_t bytes = 0;
  for (const SnapshotTensor& tensor : shape.tensors) {
    std::uint64_t tensor_bytes = c10::elementSize(tensor.dtype);
    for (const std::int64_t size : tensor.sizes) tensor_bytes *= static_cast<std::uint64_t>(size);
    bytes += tensor_bytes;
  }
  return bytes;
}

// The line of `text` that holds `position`, or "nothing" beyond the end.
std::string_view line_at(std::string_view text, std::size_t position) {
  if (position >= text.size()) return "nothing";
  const std::size_t begin = text.rfind('\n', position == 0 ? 0 : position - 1);
  text.remove_prefix(begin == std::string_view::npos ? 0 : begin + 1);
  return text.substr(0, text.find('\n'));
}

void check_tensor(const Snapshot& snapshot, std::size_t index) {
  const at::Tensor& tensor = snapshot.tensors[index];
  if (!tensor.defined() || !tensor.device().is_cpu() || tensor.requires_grad() ||
      !tensor.is_non_overlapping_and_dense()) {
    refuse(fmt::format(
        "version {} of {}, tensor {}: expected a dense, detached tensor on the CPU, found {}",
        snapshot.version, snapshot.part, index,
        tensor.defined() ? fmt::format("one on {} with sizes [{}] and strides [{}]{}", tensor.device().str(),
                                       fmt::join(tensor.sizes(), ","), fmt::join(tensor.strides(), ","),
                                       tensor.requires_grad() ? " that requires gradients" : "")
                         : "none"));
  }
}

}  // namespace

Frame snapshot_frame(std::shared_ptr<const Snapshot> snapshot) {
  const std::string& part = snapshot->part;
  if (part.empty() || !std::all_of(part.begin(), part.end(), is_printable) || snapshot->version < 0) {
    refuse(
        fmt::format("expected a snapshot with a plain name and a version from 0, found part '{}', version {}",
                    printable(part), snapshot->version));
  }
  for (std::size_t i = 0; i < snapshot->tensors.size(); ++i) check_tensor(*snapshot, i);
  const SnapshotShape shape = snapshot_shape(part, snapshot->tensors);
  std::string text = frame_text(shape);
  if (text.size() > text_limit_bytes) {
    refuse(fmt::format("the shape of {} may take {} bytes of text, but takes {}", part, text_limit_bytes,
                       text.size()));
  }
  const FrameHead head{.magic = frame_magic,
                       .kind = FrameKind::snapshot,
                       .version = snapshot->version,
                       .text_bytes = text.size(),
                       .payload_bytes = num_bytes(shape)};
  return {.head = head, .text = std::move(text), .snapshot = std::move(snapshot)};
}

FrameHead goodbye_head() {
  return {
      .magic = frame_magic, .kind = FrameKind::goodbye, .version = 0, .text_bytes = 0, .payload_bytes = 0};
}

ExpectedSnapshots::ExpectedSnapshots(std::string whose, const std::vector<SnapshotShape>& shapes, bool pinned)
    : whose_(std::move(whose)), pinned_(pinned) {
  for (const SnapshotShape& shape : shapes) {
    const Expected expected{.shape = shape, .text = frame_text(shape), .payload_bytes = num_bytes(shape)};
    if (!parts_.emplace(shape.part, expected).second) {
      refuse(fmt::format("{}: part {} is expected twice", whose_, shape.part));
    }
    longest_text_ =
        std::min(std::max(longest_text_, expected.text.size() + text_beyond_bytes), text_limit_bytes);
  }
}

void ExpectedSnapshots::check_head(const FrameHead& head) const {
  const bool is_goodbye = head.kind == FrameKind::goodbye && head.text_bytes == 0 && head.payload_bytes == 0;
  const bool is_snapshot = head.kind == FrameKind::snapshot && head.version >= 0 && head.text_bytes > 0 &&
                           head.text_bytes <= longest_text_;
  if (head.magic != frame_magic || !(is_goodbye || is_snapshot)) {
    refuse(fmt::format(
        "{}: expected the head of a snapshot, found magic {:#x}, kind {}, version {}, a text of {} "
        "bytes and a payload of {}",
        whose_, head.magic, static_cast<std::uint32_t>(head.kind), head.version, head.text_bytes,
        head.payload_bytes));
  }
}

Snapshot ExpectedSnapshots::make_room(const FrameHead& head, const std::string& text) const {
  const std::string part = text.substr(0, text.find('\n'));
  const auto found = parts_.find(part);
  if (found == parts_.end()) {
    refuse_shape(part, fmt::format("one of {} other parts", parts_.size()), "it");
  }
  const Expected& expected = found->second;
  if (text != expected.text) {
    const auto [theirs, ours] =
        std::mismatch(text.begin(), text.end(), expected.text.begin(), expected.text.end());
    refuse_shape(part,
                 std::string(line_at(expected.text, static_cast<std::size_t>(ours - expected.text.begin()))),
                 std::string(line_at(text, static_cast<std::size_t>(theirs - text.begin()))));
  }
  if (head.payload_bytes != expected.payload_bytes) {
    refuse_shape(part, fmt::format("{} bytes", expected.payload_bytes),
                 fmt::format("{} bytes", head.payload_bytes));
  }
  Snapshot snapshot{.part = part, .version = head.version, .tensors = {}};
  for (const SnapshotTensor& tensor : expected.shape.tensors) {
    snapshot.tensors.push_back(
        at::empty_strided(tensor.sizes, tensor.strides, at::dtype(tensor.dtype).pinned_memory(pinned_)));
  }
  return snapshot;
}

void ExpectedSnapshots::refuse_shape(const std::string& part, const std::string& expected,
                                     const std::string& found) const {
  refuse(fmt::format("{}: a snapshot of another run or shape: part {}: expected {}, found {}", whose_,
                     printable(part), printable(expected), printable(found)));
}

}  // namespace lamina
