#include "data/svhn.hpp"
#include "fuzz/byte_file.hpp"
#include "fuzz/fuzz_target.hpp"

namespace lamina {

bool fuzz_mat(std::string_view bytes) {
  const ByteFile file(bytes);
  return taken([&] { read_svhn(file.path()); });
}

}  // namespace lamina
