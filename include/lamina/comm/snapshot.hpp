#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

namespace lamina {

/// The state of one part of the network at the beginning of a step. Published, it is held as
/// `std::shared_ptr<const Snapshot>` and never changes again: neither the struct nor what its tensors hold.
struct Snapshot {
  std::string part;                 ///< whose state: an opaque name, one of a kind, e.g. "ema.layer3.0"
  std::int64_t version = 0;         ///< version v is the state at the beginning of step v
  std::vector<at::Tensor> tensors;  ///< on the CPU, detached, dense, of any strides (e.g. channels-last)
};

/// One tensor of a part's snapshots. The strides count: operators choose their memory format by them, so a
/// reader recreates the very same.
struct SnapshotTensor {
  at::ScalarType dtype;
  std::vector<std::int64_t> sizes;
  std::vector<std::int64_t> strides;  ///< in elements

  bool operator==(const SnapshotTensor&) const = default;
};

/// What all snapshots of a part look like.
struct SnapshotShape {
  std::string part;
  std::vector<SnapshotTensor> tensors;

  bool operator==(const SnapshotShape&) const = default;
};

/// The shape of snapshots of this part that hold tensors like these.
inline SnapshotShape snapshot_shape(const std::string& part, const std::vector<at::Tensor>& tensors) {
  SnapshotShape shape{.part = part, .tensors = {}};
  for (const at::Tensor& tensor : tensors) {
    shape.tensors.push_back({tensor.scalar_type(), tensor.sizes().vec(), tensor.strides().vec()});
  }
  return shape;
}

}  // namespace lamina
