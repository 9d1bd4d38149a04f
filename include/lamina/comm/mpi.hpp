#pragma once

#include <memory>
#include <string>

#include "lamina/comm/transport.hpp"

namespace lamina {

/// How an MPI launcher started this process, read from the environment without touching MPI.
struct MpiLaunch {
  int rank = 0;
  int size = 1;
  int local_rank = 0;     ///< among the processes of this host; `rank` where the launcher does not tell
  int local_size = 1;     ///< processes of the job on this host; `size` where the launcher does not tell
  bool launched = false;  ///< false: started plainly
};
MpiLaunch mpi_launch();

/// The transport between the processes of an MPI job. Every MPI call, MPI_Init and MPI_Finalize included, is
/// made by one thread that this object owns; it sleeps between polls, since Open MPI would spin.
///
/// abort()  ends the whole job by MPI_Abort with the exit code, after this process has spoken.
/// Blocking until every process of the job has come to it; open() waits for at most `start_limit`, too.
/// @throws Error{device} if Lamina was built without MPI, or MPI cannot start; Error{timeout} if it has not
/// started after `start_limit`: then a thread is still in MPI, and this process is to end without a farewell.
std::unique_ptr<Transport> make_mpi_transport(Seconds start_limit = Seconds(600));

/// The MPI library's version line, or "none".
std::string mpi_version();

}  // namespace lamina
