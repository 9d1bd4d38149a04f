#include "fuzz/fuzz_target.hpp"
#include "lamina/train/safetensors.hpp"

namespace lamina {

bool fuzz_safetensors(std::string_view bytes) {
  std::map<std::string, at::Tensor> tensors;
  if (!taken([&] { tensors = parse_safetensors(std::string(bytes), "input"); })) return false;
  std::size_t num_bytes = 0;
  for (const auto& [name, tensor] : tensors) num_bytes += tensor.nbytes();
  require(num_bytes <= bytes.size(), "tensors hold more bytes than their file");
  return true;
}

}  // namespace lamina
