#include "lamina/nn/initializer.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <fmt/format.h>

#include <atomic>
#include <cmath>
#include <limits>

#include "lamina/core/digest.hpp"
#include "lamina/core/error.hpp"

namespace lamina {
namespace {

std::atomic<std::int64_t> parameters_made{0};

// A generator of its own for every tensor; the digest spreads similar names and seeds apart.
at::Generator generator_for(std::uint64_t seed, const std::string& name) {
  const std::string digest = sha256_hex(std::to_string(seed) + "/" + name);
  return at::detail::createCPUGenerator(std::stoull(digest.substr(0, 16), nullptr, 16));
}

auto uniform_of(std::int64_t fan_in) {
  const double bound = 1.0 / std::sqrt(static_cast<double>(fan_in));
  return [bound](const at::Tensor& values, const at::Generator& generator) {
    values.uniform_(-bound, bound, generator);
  };
}

}  // namespace

void check_given(const std::string& where, const at::Tensor& found, at::ScalarType dtype,
                 at::IntArrayRef sizes) {
  if (found.sizes() == sizes && found.scalar_type() == dtype) return;
  throw Error(
      ErrorKind::checkpoint,
      fmt::format("{}: expected {} of [{}], found {} of [{}]", where, at::toString(dtype),
                  fmt::join(sizes, ","), at::toString(found.scalar_type()), fmt::join(found.sizes(), ",")));
}

std::int64_t num_parameters_made() {
  return parameters_made;
}

Initializer Initializer::on(at::Device device) const {
  Initializer other = *this;
  other.device_ = device;
  return other;
}

Initializer Initializer::frozen() const {
  Initializer other = *this;
  if (use_ == Use::trained) other.use_ = Use::frozen;
  return other;
}

Initializer Initializer::blank() const {
  Initializer other = *this;
  other.use_ = Use::blank;
  return other;
}

const at::Tensor* Initializer::given(const TensorName& name, at::IntArrayRef sizes,
                                     at::ScalarType dtype) const {
  if (!given_) return nullptr;
  auto found = given_->find(name.own);
  if (found == given_->end()) found = given_->find(name.like);
  if (found == given_->end()) return nullptr;
  check_given("given weights: " + found->first, found->second, dtype, sizes);
  return &found->second;
}

// Values are drawn in float32 on the CPU whatever the type and device: all runs start from the same numbers.
template <class Draw>
at::Tensor Initializer::parameter(const TensorName& name, at::IntArrayRef sizes, const Draw& draw) const {
  at::Tensor value;
  if (use_ == Use::blank) {
    value = at::full(sizes, std::numeric_limits<double>::quiet_NaN(), dtype_);
  } else if (const at::Tensor* known = given(name, sizes, dtype_)) {
    value = known->clone();
  } else {
    value = at::empty(sizes, at::kFloat);
    draw(value, generator_for(seed_, name.like));
    value = value.to(dtype_);
  }
  if (value.dim() == 4) value = value.contiguous(format_);
  value = value.to(device_);
  if (use_ != Use::trained) return value;
  parameters_made += value.numel();
  return value.requires_grad_(true);
}

at::Tensor Initializer::conv_weight(const TensorName& name, std::int64_t out, std::int64_t in,
                                    std::int64_t kernel) const {
  const double deviation = std::sqrt(2.0 / static_cast<double>(kernel * kernel * out));
  return parameter(name, {out, in, kernel, kernel}, [&](const at::Tensor& values, const at::Generator& g) {
    values.normal_(0.0, deviation, g);
  });
}

at::Tensor Initializer::linear_weight(const TensorName& name, std::int64_t out, std::int64_t in) const {
  return parameter(name, {out, in}, uniform_of(in));
}

at::Tensor Initializer::linear_bias(const TensorName& name, std::int64_t out, std::int64_t in) const {
  return parameter(name, {out}, uniform_of(in));
}

at::Tensor Initializer::constant(const TensorName& name, at::IntArrayRef sizes, double value) const {
  return parameter(name, sizes, [&](const at::Tensor& values, const at::Generator&) { values.fill_(value); });
}

at::Tensor Initializer::buffer(const TensorName& name, std::int64_t size, double value) const {
  const at::Tensor* known = given(name, {size}, dtype_);
  return (known ? known->clone() : at::full({size}, value, dtype_)).to(device_);
}

at::Tensor Initializer::counter(const TensorName& name) const {
  const at::Tensor* known = given(name, {}, at::kLong);
  return (known ? known->clone() : at::zeros({}, at::kLong)).to(device_);
}

}  // namespace lamina
