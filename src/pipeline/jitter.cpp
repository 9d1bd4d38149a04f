#include "lamina/pipeline/jitter.hpp"

#include <ATen/core/PhiloxRNGEngine.h>

#include <cmath>

namespace lamina {

double jitter(double deviation, const JitterKey& key) {
  if (deviation == 0) return 1;
  at::Philox4_32 engine(key.seed, key.stream, key.number);
  const double variance = std::log1p(deviation * deviation);  // of the logarithm
  return std::exp(std::sqrt(variance) * engine.randn(10) - variance / 2);
}

}  // namespace lamina
