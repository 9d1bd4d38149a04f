#pragma once

#include <ostream>
#include <string>
#include <vector>

#include "lamina/comm/transport.hpp"

namespace lamina::contract {

/// The lanes that every case runs on: the same few between each worker and the next one.
std::vector<LaneSpec> lanes(int num_workers);

/// One case of the suite that every backend must pass. All workers run `body` at the same time, each on its
/// own transport, with the lanes open and empty; they leave them empty.
struct Case {
  std::string name;
  void (*body)(Transport&);
  /// Asks of lanes that they never hold each other up, which NCCL's one queue cannot give.
  bool needs_independent_lanes = false;
};
inline void PrintTo(const Case& printed, std::ostream* out) {
  *out << printed.name;
}

const std::vector<Case>& cases();

}  // namespace lamina::contract
