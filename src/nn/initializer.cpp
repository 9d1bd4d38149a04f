#include "lamina/nn/initializer.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <atomic>
#include <cmath>

#include "lamina/core/digest.hpp"

namespace lamina {
namespace {

std::atomic<std::int64_t> parameters_made{0};

// A generator of its own for every tensor; the digest spreads similar names and seeds apart.
at::Generator generator_for(std::uint64_t seed, const std::string& name) {
  const std::string digest = sha256_hex(std::to_string(seed) + "/" + name);
  return at::detail::createCPUGenerator(std::stoull(digest.substr(0, 16), nullptr, 16));
}

at::Tensor uniform(std::uint64_t seed, const std::string& name, at::IntArrayRef sizes, std::int64_t fan_in) {
  const double bound = 1.0 / std::sqrt(static_cast<double>(fan_in));
  return at::empty(sizes, at::kFloat).uniform_(-bound, bound, generator_for(seed, name));
}

}  // namespace

std::int64_t num_parameters_made() {
  return parameters_made;
}

// Values are drawn in float32 whatever the type: a double-precision run starts from the same numbers.
at::Tensor Initializer::parameter(at::Tensor value) const {
  parameters_made += value.numel();
  value = value.to(dtype_);
  if (value.dim() == 4) value = value.contiguous(format_);
  return value.requires_grad_(true);
}

at::Tensor Initializer::conv_weight(const std::string& name, std::int64_t out, std::int64_t in,
                                    std::int64_t kernel) const {
  const double deviation = std::sqrt(2.0 / static_cast<double>(kernel * kernel * out));
  return parameter(
      at::empty({out, in, kernel, kernel}, at::kFloat).normal_(0.0, deviation, generator_for(seed_, name)));
}

at::Tensor Initializer::linear_weight(const std::string& name, std::int64_t out, std::int64_t in) const {
  return parameter(uniform(seed_, name, {out, in}, in));
}

at::Tensor Initializer::linear_bias(const std::string& name, std::int64_t out, std::int64_t in) const {
  return parameter(uniform(seed_, name, {out}, in));
}

at::Tensor Initializer::constant(std::int64_t size, double value) const {
  return parameter(at::full({size}, value, at::kFloat));
}

at::Tensor Initializer::buffer(std::int64_t size, double value) const {
  return at::full({size}, value, dtype_);
}

at::Tensor Initializer::counter() const {
  return at::zeros({}, at::kLong);
}

}  // namespace lamina
