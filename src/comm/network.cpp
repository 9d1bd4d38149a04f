#include "lamina/comm/network.hpp"

#include <fmt/format.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "comm/interfaces.hpp"
#include "lamina/core/error.hpp"

namespace lamina {

void require_interfaces(bool nccl) {
  using FindsOne = bool (*)(const std::vector<Interface>&, const std::string&);
  constexpr std::pair<const char*, FindsOne> variables[] = {{"OMPI_MCA_btl_tcp_if_include", mpi_finds_one},
                                                            {"NCCL_SOCKET_IFNAME", nccl_finds_one}};
  const std::vector<Interface> present = interfaces();
  for (const auto& [name, finds_one] : variables) {
    const char* value = std::getenv(name);
    if (!value || !*value || (finds_one == nccl_finds_one && !nccl)) continue;
    if (!finds_one(present, value))
      throw Error(ErrorKind::device,
                  fmt::format("{}: expected {}, found '{}'", name, interface_names(present), value));
  }
}

}  // namespace lamina
