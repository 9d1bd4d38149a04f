#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include "lamina/comm/snapshot.hpp"

namespace lamina {

// What two exchanges say to each other once they know each other (exchange_handshake.hpp). Numbers are in the
// host's byte order.
//
//   frame        FrameHead, `text_bytes` of text, `payload_bytes` of payload
//   text         the part's name and a newline, then a line for each tensor: type, sizes, strides
//   payload      the tensors' memory, one after the other
//
// The text says everything about a snapshot's form, so it is not parsed: the receiver compares it with the
// one text that it expects.

enum class FrameKind : std::uint32_t { snapshot = 1, goodbye = 2 };

struct FrameHead {
  std::uint32_t magic;
  FrameKind kind;
  std::int64_t version;
  std::uint64_t text_bytes;
  std::uint64_t payload_bytes;
};
static_assert(sizeof(FrameHead) == 32 && std::is_trivially_copyable_v<FrameHead>);

/// A snapshot ready to be written; the payload is the snapshot's own memory.
struct Frame {
  FrameHead head;
  std::string text;
  std::shared_ptr<const Snapshot> snapshot;
};

/// @throws Error{contract} if the snapshot cannot travel: no plain name, or a tensor that is not dense, not
/// on the CPU or not detached.
Frame snapshot_frame(std::shared_ptr<const Snapshot> snapshot);
FrameHead goodbye_head();

/// The snapshots that may come from one peer.
class ExpectedSnapshots {
 public:
  /// `whose` begins every message: who receives what from whom. `pinned`: ExchangeOptions::pinned.
  ExpectedSnapshots(std::string whose, const std::vector<SnapshotShape>& shapes, bool pinned = false);

  /// @throws Error{contract} for anything but a head of a snapshot or goodbye, or if its text is longer than
  /// any that is expected, with some room to say in an error what has come instead.
  void check_head(const FrameHead& head) const;

  /// The snapshot that a frame announces, its tensors new and to be filled.
  /// @throws Error{contract}, before any memory is set aside, if its part is not expected or in another
  /// shape.
  Snapshot make_room(const FrameHead& head, const std::string& text) const;

 private:
  struct Expected {
    SnapshotShape shape;
    std::string text;
    std::uint64_t payload_bytes;
  };

  [[noreturn]] void refuse_shape(const std::string& part, const std::string& expected,
                                 const std::string& found) const;

  std::string whose_;
  bool pinned_;
  std::uint64_t longest_text_ = 0;  // 0: no snapshot may come
  std::map<std::string, Expected> parts_;
};

}  // namespace lamina
