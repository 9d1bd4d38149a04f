#include "lamina/comm/network.hpp"

#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>
#include <system_error>
#include <vector>

#include "comm/interfaces.hpp"
#include "lamina/core/error.hpp"
#include "lamina/core/process.hpp"

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

std::string network_id() {
  std::error_code unreadable;
  const auto network = std::filesystem::read_symlink("/proc/self/ns/net", unreadable);
  return machine_id() + " " + (unreadable ? host_name() : network.string());
}

}  // namespace lamina
