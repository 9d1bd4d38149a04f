#include "data/cifar.hpp"

#include "fuzz/byte_file.hpp"
#include "fuzz/fuzz_target.hpp"

namespace lamina {

bool fuzz_cifar(std::string_view bytes) {
  const ByteFile file(bytes);
  const bool one_label = taken([&] { read_cifar({file.path()}, {1, 10, 2}); });
  const bool two_labels = taken([&] { read_cifar({file.path()}, {2, 100, 1}); });
  return one_label || two_labels;
}

}  // namespace lamina
