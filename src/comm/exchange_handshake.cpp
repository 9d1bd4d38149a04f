#include "comm/exchange_handshake.hpp"

#include <fmt/format.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include <cstring>

#include "lamina/core/error.hpp"

namespace lamina {

namespace {

constexpr Greeting own_greeting{.magic = {'l', 'a', 'm', 'i', 'n', 'a', '\r', '\n'}, .protocol = 2};

}  // namespace

Greeting greeting() {
  return own_greeting;
}

Nonce fresh_nonce() {
  Nonce nonce;
  if (RAND_priv_bytes(nonce.data(), static_cast<int>(nonce.size())) != 1)
    throw Error(ErrorKind::device, "expected random bytes from the system, found none");
  return nonce;
}

Proof proof_of(End end, const Hello& hello, const Nonce& challenge, const std::string& token) {
  std::array<unsigned char, 1 + sizeof(Hello) + sizeof(Nonce)> said;
  said[0] = static_cast<unsigned char>(end);
  std::memcpy(said.data() + 1, &hello, sizeof(hello));
  std::memcpy(said.data() + 1 + sizeof(hello), challenge.data(), challenge.size());
  Proof proof;
  if (!HMAC(EVP_sha256(), token.data(), static_cast<int>(token.size()), said.data(), said.size(),
            proof.data(), nullptr))
    throw Error(ErrorKind::contract, "expected an HMAC from OpenSSL, found none");
  return proof;
}

bool is_same(const Proof& one, const Proof& other) {
  return CRYPTO_memcmp(one.data(), other.data(), one.size()) == 0;
}

void check_greeting(const Greeting& theirs) {
  if (theirs.magic != own_greeting.magic)
    throw TurnedAway{"of another language", "it does not speak Lamina's language"};
  if (theirs.protocol != own_greeting.protocol)
    throw TurnedAway{"of another protocol",
                     fmt::format("expected protocol {}, found {}", own_greeting.protocol, theirs.protocol)};
}

}  // namespace lamina
