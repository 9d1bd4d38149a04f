#pragma once

#include <string>

namespace lamina {

/// A secret for ExchangeOptions::token: 32 bytes of OpenSSL's generator, which the system's seeds, in
/// hexadecimal. To be handed on in messages of the run alone: never in a file, a log, an argument or the
/// environment.
/// @throws Error{device} if there is no randomness to be had.
std::string random_token();

}  // namespace lamina
