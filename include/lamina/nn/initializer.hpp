#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>

namespace lamina {

/// A tensor's name, and the name of the tensor whose first values it takes: a copy of a block begins as the
/// block does.
struct TensorName {
  TensorName(const char* name) : own(name), like(name) {}            // NOLINT: a name is a text
  TensorName(std::string name) : own(std::move(name)), like(own) {}  // NOLINT
  TensorName(std::string name, std::string of) : own(std::move(name)), like(std::move(of)) {}
  std::string own;
  std::string like;
};

/// Tensors to begin with in place of drawn ones, by name.
using GivenTensors = std::map<std::string, at::Tensor>;

/// @throws Error{checkpoint}, beginning with `where`, unless a tensor from a file has this type and shape.
void check_given(const std::string& where, const at::Tensor& found, at::ScalarType dtype,
                 at::IntArrayRef sizes);

/// Makes a network's tensors with their first values.
///
/// The values of a tensor depend on (seed, the name they are like) alone: not on the modules, stages or
/// workers around it, so any worker can build its own part of the network and nobody else's. A given tensor
/// of the own name comes first, then one of the name it is like, then the seed's.
///
/// @throws Error{checkpoint} if a given tensor has another shape or type.
class Initializer {
 public:
  explicit Initializer(std::uint64_t seed, at::ScalarType dtype = at::kFloat,
                       at::MemoryFormat format = at::MemoryFormat::ChannelsLast,
                       std::shared_ptr<const GivenTensors> given = nullptr)
      : seed_(seed), dtype_(dtype), format_(format), given_(std::move(given)) {}

  at::ScalarType dtype() const { return dtype_; }
  at::MemoryFormat format() const { return format_; }

  /// Makes the same values, on another device than the CPU.
  Initializer on(at::Device device) const;
  /// Makes the same values, but in tensors that no gradient is asked for: of copies that are not trained.
  Initializer frozen() const;
  /// Makes frozen tensors full of NaN: of copies that somebody fills before their first use.
  Initializer blank() const;

  /// Convolution weight, OIHW with `in` input channels a group, N(0, sqrt(2 / (kernel^2 * out)));
  /// docs/method.md, Backbones.
  at::Tensor conv_weight(const TensorName& name, std::int64_t out, std::int64_t in,
                         std::int64_t kernel) const;
  /// Weight {out, in} or bias {out} of a linear layer, U(-1/sqrt(in), 1/sqrt(in)): LibTorch's default.
  at::Tensor linear_weight(const TensorName& name, std::int64_t out, std::int64_t in) const;
  at::Tensor linear_bias(const TensorName& name, std::int64_t out, std::int64_t in) const;
  /// A parameter of equal values.
  at::Tensor constant(const TensorName& name, at::IntArrayRef sizes, double value) const;
  /// A buffer of `size` equal values (running statistics).
  at::Tensor buffer(const TensorName& name, std::int64_t size, double value) const;
  /// The counter of batches seen, an int64 scalar, as torchvision's files hold it.
  at::Tensor counter(const TensorName& name) const;

 private:
  enum class Use { trained, frozen, blank };
  template <class Draw>
  at::Tensor parameter(const TensorName& name, at::IntArrayRef sizes, const Draw& draw) const;
  const at::Tensor* given(const TensorName& name, at::IntArrayRef sizes, at::ScalarType dtype) const;

  std::uint64_t seed_;
  at::ScalarType dtype_;
  at::MemoryFormat format_;
  std::shared_ptr<const GivenTensors> given_;
  Use use_ = Use::trained;
  at::Device device_ = at::kCPU;
};

/// Trained parameters (numbers, not tensors) that Initializers of this process have made so far. A test
/// counts with it that no worker builds another stage's part.
std::int64_t num_parameters_made();

}  // namespace lamina
