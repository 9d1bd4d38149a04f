#include <array>

#include "fuzz/fuzz_target.hpp"

namespace lamina {

bool fuzz_beats(std::string_view bytes);
bool fuzz_cifar(std::string_view bytes);
bool fuzz_config(std::string_view bytes);
bool fuzz_handshake(std::string_view bytes);
bool fuzz_idx(std::string_view bytes);
bool fuzz_image(std::string_view bytes);
bool fuzz_manifest(std::string_view bytes);
bool fuzz_mat(std::string_view bytes);
bool fuzz_packet(std::string_view bytes);
bool fuzz_safetensors(std::string_view bytes);
bool fuzz_snapshots(std::string_view bytes);
bool fuzz_stl10(std::string_view bytes);

namespace {

// What compresses, as .gz, MATLAB's and PNG do, may become 1032 times as long; a PNG's pixel may take a bit
// there and three bytes here, a JPEG's block of 64 a bit.
constexpr auto targets = std::to_array<FuzzTarget>({
    {"beats", fuzz_beats, 128, 1},
    {"cifar", fuzz_cifar, 8 << 10, 16},
    {"config", fuzz_config, 4 << 10, 16},
    {"handshake", fuzz_handshake, 512, 1},
    {"idx", fuzz_idx, 4 << 10, 16},
    {"jpeg", fuzz_image, 4 << 10, 16},
    {"manifest", fuzz_manifest, 4 << 10, 4},
    {"mat", fuzz_mat, 8 << 10, 16},
    {"packet", fuzz_packet, 4 << 10, 4},
    {"png", fuzz_image, 2 << 10, 64},
    {"safetensors", fuzz_safetensors, 4 << 10, 1},
    {"snapshots", fuzz_snapshots, 1 << 10, 1},
    {"stl10", fuzz_stl10, 64 << 10, 1},
});

}  // namespace

std::span<const FuzzTarget> fuzz_targets() {
  return targets;
}

}  // namespace lamina
