#include <optional>

#include "fuzz/fuzz_target.hpp"
#include "lamina/core/digest.hpp"
#include "train/checkpoint_format.hpp"
#include "train/plain_json.hpp"

namespace lamina {
namespace {

// Nobody guesses a checksum, so bytes are also sealed as they are.
std::optional<std::string> sealed(const std::string& body) {
  try {
    const std::string text = parse_plain(body).dump();
    return R"({"body":)" + text + R"(,"sha256":")" + sha256_hex(text) + "\"}";
  } catch (const std::exception&) {
    return std::nullopt;
  }
}

}  // namespace

bool fuzz_manifest(std::string_view bytes) {
  const std::string input(bytes);
  const bool takes_whole = taken([&] { unseal(input, "input"); });
  const std::optional<std::string> text = sealed(input);
  return takes_whole || (text && taken([&] { check_same_run(unseal(*text, "input"), {}); }));
}

}  // namespace lamina
