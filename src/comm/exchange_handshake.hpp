#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <type_traits>

namespace lamina {

// How two exchanges prove to each other that they know the run's token, which neither says:
//
//   caller   Hello       who calls whom, and a number used once
//   callee   Challenge   another such number
//   caller   Proof       an HMAC by the token over its end, the hello and the challenge
//   callee   Verdict     whether the caller is admitted, and if so the same proof of the callee's end
//
// A proof overheard is of no use, since one of the two numbers is always the listener's own; nor is one sent
// back to whom it came from, since it names its end. Numbers are in the host's byte order: a host of the
// other order reads another protocol number, and both turn each other away.

/// 32 bytes that are never used again.
using Nonce = std::array<unsigned char, 32>;
using Proof = std::array<unsigned char, 32>;

/// What both ends say first, the same in every protocol, so that two of different ones can tell.
struct Greeting {
  std::array<char, 8> magic;
  std::uint32_t protocol;
};
static_assert(sizeof(Greeting) == 12 && std::is_trivially_copyable_v<Greeting>);

struct Hello {
  Greeting greeting;
  std::int32_t caller;
  std::int32_t callee;
  Nonce nonce;
};
static_assert(sizeof(Hello) == 52 && std::is_trivially_copyable_v<Hello>);

struct Challenge {
  Greeting greeting;
  Nonce nonce;
};
static_assert(sizeof(Challenge) == 44 && std::is_trivially_copyable_v<Challenge>);

struct Verdict {
  std::uint32_t admitted;
  Proof proof;  // zeros for who is not admitted
};
static_assert(sizeof(Verdict) == 36 && std::is_trivially_copyable_v<Verdict>);

/// A message as it travels.
template <class Message>
  requires std::is_trivially_copyable_v<Message>
std::string bytes_of(const Message& message) {
  return {reinterpret_cast<const char*>(&message), sizeof(message)};
}

Greeting greeting();
/// @throws Error{device} if there is no randomness to be had.
Nonce fresh_nonce();

enum class End : char { caller = 'c', callee = 'a' };
Proof proof_of(End end, const Hello& hello, const Nonce& challenge, const std::string& token);

/// Takes the same time wherever they differ.
bool is_same(const Proof& one, const Proof& other);

/// A stranger that is turned away, for the listener's Refusals.
struct TurnedAway {
  std::string kind;
  std::string why;
};

/// @throws TurnedAway unless it is this protocol's.
void check_greeting(const Greeting& theirs);

}  // namespace lamina
