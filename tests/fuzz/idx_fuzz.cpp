#include "data/idx.hpp"

#include "fuzz/byte_file.hpp"
#include "fuzz/fuzz_target.hpp"

namespace lamina {

bool fuzz_idx(std::string_view bytes) {
  const ByteFile file(bytes);
  const bool labels = taken([&] { read_idx(file.path(), {}); });
  const bool images = taken([&] { read_idx(file.path(), {28, 28}); });
  return labels || images;
}

}  // namespace lamina
