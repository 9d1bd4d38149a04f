#pragma once

#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>
#include <c10/core/impl/LocalDispatchKeySet.h>

#include <string>

namespace lamina {

/// What a network's layers compute in. Parameters with their gradients, running statistics, optimizer,
/// averages and losses are float32 in each of them.
enum class Precision {
  fp32,  ///< in the tensors' own type, float32 or double
  tf32,  ///< as fp32, but a GPU rounds the factors of convolutions and products to 10 bits behind the point
  bf16,  ///< ATen's autocast: convolutions and linear layers take and give bfloat16, and norms follow them
};

/// By its name in a configuration. @throws Error{contract} for another.
Precision precision_of(const std::string& name);

/// While it lives, forwards of the calling thread on devices of this type compute as `precision` says.
///
/// Threads  bf16 is the calling thread's own matter. TF32 is a switch of the whole process and stays as the
///          last scope on a GPU left it, so scopes of two threads agree.
/// Cache    ATen's cache of rounded parameters is off: it is shared by all threads, so it would depend on the
///          others whether a tensor that is used twice is rounded once, and it would not see updates in
///          place. A forward uses each parameter once anyway.
class PrecisionScope {
 public:
  PrecisionScope(Precision precision, c10::DeviceType device);
  ~PrecisionScope();
  PrecisionScope(const PrecisionScope&) = delete;
  PrecisionScope& operator=(const PrecisionScope&) = delete;

 private:
  const c10::DeviceType device_;
  const bool is_mixed_;
  bool had_cache_ = true;
  bool was_mixed_ = false;
  c10::ScalarType had_type_ = c10::ScalarType::Undefined;
};

/// While it lives, the calling thread computes in its tensors' own types, inside a PrecisionScope too: what
/// losses and backward passes are computed in.
class OwnTypes {
 public:
  OwnTypes();

 private:
  c10::impl::ExcludeDispatchKeyGuard no_autocast_;
};

}  // namespace lamina
