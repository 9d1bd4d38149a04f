#include "data/stl10.hpp"

#include <algorithm>

#include "fuzz/byte_file.hpp"
#include "fuzz/fuzz_target.hpp"

namespace lamina {

// How many labels, the labels, and the images' file.
bool fuzz_stl10(std::string_view bytes) {
  if (bytes.empty()) return false;
  const std::size_t num_labels =
      std::min<std::size_t>(static_cast<unsigned char>(bytes.front()), bytes.size() - 1);
  const ByteFile labels(bytes.substr(1, num_labels)), images(bytes.substr(1 + num_labels));
  return taken([&] { read_stl10(images.path(), labels.path()); });
}

}  // namespace lamina
