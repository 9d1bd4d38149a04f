#include "lamina/nn/precision.hpp"

#include <ATen/Context.h>
#include <ATen/autocast_mode.h>
#include <fmt/format.h>

#include <mutex>

#include "lamina/core/error.hpp"

namespace lamina {
namespace {

// Unless it is told, ATen lets convolutions of float32 round to TF32. Threads whose scopes agree write once,
// before any of them computes.
void allow_tf32(bool allowed) {
  static std::mutex one_at_a_time;
  const std::lock_guard lock(one_at_a_time);
  const auto wanted = allowed ? at::Float32Precision::TF32 : at::Float32Precision::IEEE;
  at::Context& context = at::globalContext();
  for (const auto op : {at::Float32Op::CONV, at::Float32Op::MATMUL})
    if (context.float32Precision(at::Float32Backend::CUDA, op) != wanted)
      context.setFloat32Precision(at::Float32Backend::CUDA, op, wanted);
}

}  // namespace

Precision precision_of(const std::string& name) {
  if (name == "fp32") return Precision::fp32;
  if (name == "tf32") return Precision::tf32;
  if (name == "bf16") return Precision::bf16;
  throw Error(ErrorKind::contract, fmt::format("expected a precision fp32, tf32 or bf16, found {}", name));
}

PrecisionScope::PrecisionScope(Precision precision, c10::DeviceType device)
    : device_(device), is_mixed_(precision == Precision::bf16) {
  if (device != c10::DeviceType::CPU) allow_tf32(precision == Precision::tf32);
  if (!is_mixed_) return;
  had_cache_ = at::autocast::is_autocast_cache_enabled();
  was_mixed_ = at::autocast::is_autocast_enabled(device);
  had_type_ = at::autocast::get_autocast_dtype(device);
  at::autocast::set_autocast_cache_enabled(false);
  at::autocast::set_autocast_dtype(device, at::kBFloat16);
  at::autocast::set_autocast_enabled(device, true);
}

PrecisionScope::~PrecisionScope() {
  if (!is_mixed_) return;
  at::autocast::set_autocast_enabled(device_, was_mixed_);
  at::autocast::set_autocast_dtype(device_, had_type_);
  at::autocast::set_autocast_cache_enabled(had_cache_);
}

OwnTypes::OwnTypes() : no_autocast_(c10::autocast_dispatch_keyset) {}

}  // namespace lamina
