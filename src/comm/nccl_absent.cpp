// The NCCL transport of a build without NCCL. An executable that brings its own, as tests do with a stand-in,
// is linked without this file, since it is one of an archive.
#include "lamina/comm/nccl.hpp"
#include "lamina/core/error.hpp"

namespace lamina {

void require_nccl() {
  throw Error(
      ErrorKind::device,
      "transport nccl: this build of Lamina has no NCCL; configure it with -DLAMINA_CUDA=ON, or choose "
      "mpi or inprocess");
}

std::unique_ptr<Transport> make_nccl_transport(std::unique_ptr<Transport>&&, NcclOptions) {
  require_nccl();
  return nullptr;
}

std::string nccl_version() {
  return "none";
}

}  // namespace lamina
