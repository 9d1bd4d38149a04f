#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

namespace lamina {

/// Makes a network's tensors with their first values.
///
/// The values of a tensor depend on (seed, its full name) alone: not on the modules, stages or workers around
/// it, so any worker can build its own part of the network and nobody else's.
class Initializer {
 public:
  explicit Initializer(std::uint64_t seed, at::ScalarType dtype = at::kFloat,
                       at::MemoryFormat format = at::MemoryFormat::ChannelsLast)
      : seed_(seed), dtype_(dtype), format_(format) {}

  at::ScalarType dtype() const { return dtype_; }
  at::MemoryFormat format() const { return format_; }

  /// Convolution weight, OIHW, N(0, sqrt(2 / (kernel^2 * out))); METHOD section 2.
  at::Tensor conv_weight(const std::string& name, std::int64_t out, std::int64_t in,
                         std::int64_t kernel) const;
  /// Weight {out, in} or bias {out} of a linear layer, U(-1/sqrt(in), 1/sqrt(in)): LibTorch's default.
  at::Tensor linear_weight(const std::string& name, std::int64_t out, std::int64_t in) const;
  at::Tensor linear_bias(const std::string& name, std::int64_t out, std::int64_t in) const;
  /// A parameter of `size` equal values.
  at::Tensor constant(std::int64_t size, double value) const;
  /// A buffer of `size` equal values (running statistics).
  at::Tensor buffer(std::int64_t size, double value) const;
  /// The counter of batches seen, an int64 scalar, as torchvision's files hold it.
  at::Tensor counter() const;

 private:
  at::Tensor parameter(at::Tensor value) const;

  std::uint64_t seed_;
  at::ScalarType dtype_;
  at::MemoryFormat format_;
};

/// Parameters (numbers, not tensors) that Initializers of this process have made so far. A test counts with
/// it that no worker builds another stage's part.
std::int64_t num_parameters_made();

}  // namespace lamina
