#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>
#include <utility>
#include <vector>

namespace lamina {

/// Copies tensors between a device and its host beside the stream that computes, which waits for no host.
/// On the CPU they are plain copies, done when the call returns.
///
/// Threads  the calls from one thread, whose current stream of the device is the one that computes. `done` is
///          called on another thread; for the CPU before download() returns.
/// Memory   what is copied off a device is copied within it first, so that nobody who writes to the tensors
///          has to know of the copy: as much again until it is done.
class HostCopies {
 public:
  /// The copies, dense with the tensors' strides, detached, and in memory that a device can copy from.
  using Done = std::function<void(std::vector<at::Tensor> copies)>;

  /// Drops what is under way: no `done` is called any more once this has returned.
  virtual ~HostCopies() = default;

  /// Copies the tensors as they are here in the caller's stream, and has `done` called with the copies once
  /// they are there, in the order of the calls. Waits only while the copies of several calls are under way.
  /// `into`: copies that an earlier call made of tensors of the same sizes and strides, to be filled anew;
  /// none: new ones are made.
  /// @throws what an earlier `done` threw, for the CPU what this one throws, or c10::Error of the device.
  virtual void download(const std::vector<at::Tensor>& tensors, Done done, std::vector<at::Tensor> into) = 0;
  void download(const std::vector<at::Tensor>& tensors, Done done) { download(tensors, std::move(done), {}); }

  /// Fills `to`, dense tensors on the device, with `from` on the host, of equal sizes, behind what the
  /// caller's stream has been given before and ahead of what it is given afterwards. Does not wait for the
  /// device where `from` is memory that it can copy from.
  virtual void upload(const std::vector<at::Tensor>& from, const std::vector<at::Tensor>& to) = 0;

  /// Waits until `done` has been called for every download. @throws as download().
  virtual void finish() = 0;
};

/// @throws Error{device} if this build, or this host, has no such device.
std::unique_ptr<HostCopies> make_host_copies(at::Device device);

}  // namespace lamina
