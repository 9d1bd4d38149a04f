// The MPI transport of a build without MPI.
#include "lamina/comm/mpi.hpp"
#include "lamina/core/error.hpp"

namespace lamina {

std::unique_ptr<Transport> make_mpi_transport(Seconds) {
  throw Error(ErrorKind::device,
              "transport mpi: this build of Lamina has no MPI; configure it with -DLAMINA_MPI=ON, or choose "
              "inprocess");
}

std::string mpi_version() {
  return "none";
}

}  // namespace lamina
