#include "lamina/core/digest.hpp"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <array>

#include "lamina/core/error.hpp"

namespace lamina {
namespace {

void expect_success(int status, std::string_view step) {
  if (status != 1) {
    throw Error(ErrorKind::contract,
                fmt::format("expected OpenSSL's SHA-256 to {}, found status {}", step, status));
  }
}

}  // namespace

struct Sha256::State {
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context{EVP_MD_CTX_new(), &EVP_MD_CTX_free};
};

Sha256::Sha256() : state_(std::make_unique<State>()) {
  expect_success(EVP_DigestInit_ex(state_->context.get(), EVP_sha256(), nullptr), "begin");
}
Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

void Sha256::update(const void* bytes, std::size_t size) {
  expect_success(EVP_DigestUpdate(state_->context.get(), bytes, size), "take bytes");
}

std::string Sha256::hex() {
  std::array<unsigned char, 32> digest;
  expect_success(EVP_DigestFinal_ex(state_->context.get(), digest.data(), nullptr), "end");
  return fmt::format("{:02x}", fmt::join(digest, ""));
}

std::string sha256_hex(std::string_view text) {
  Sha256 hash;
  hash.update(text);
  return hash.hex();
}

}  // namespace lamina
