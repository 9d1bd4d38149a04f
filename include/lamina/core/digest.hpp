#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace lamina {

/// SHA-256 of bytes fed piece by piece.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;

  void update(const void* bytes, std::size_t size);
  void update(std::string_view text) { update(text.data(), text.size()); }

  /// 64 lower-case hexadecimal digits. To be called once.
  std::string hex();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// SHA-256 of a whole text, as 64 lower-case hexadecimal digits.
std::string sha256_hex(std::string_view text);

}  // namespace lamina
