#include <charconv>
#include <cstdlib>
#include <optional>
#include <string_view>

#include "lamina/comm/mpi.hpp"

namespace lamina {

namespace {

std::optional<int> number_from(const char* variable) {
  const char* value = std::getenv(variable);
  if (!value) return std::nullopt;
  const std::string_view text(value);
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

// What launchers set, the most particular first: Open MPI's mpirun, PMI (MPICH, Slurm), PMIx under Slurm.
struct LaunchVariables {
  const char* rank;
  const char* size;
  const char* local_rank;
  const char* local_size;
};
constexpr LaunchVariables launch_variables[] = {
    {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK",
     "OMPI_COMM_WORLD_LOCAL_SIZE"},
    {"PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS"},
    {"PMIX_RANK", "SLURM_NTASKS", "SLURM_LOCALID", "SLURM_NTASKS_PER_NODE"},
};

}  // namespace

MpiLaunch mpi_launch() {
  for (const LaunchVariables& variables : launch_variables) {
    const std::optional<int> rank = number_from(variables.rank);
    const std::optional<int> size = number_from(variables.size);
    if (rank && size)
      return {.rank = *rank,
              .size = *size,
              .local_rank = number_from(variables.local_rank).value_or(*rank),
              .local_size = number_from(variables.local_size).value_or(*size),
              .launched = true};
  }
  return {};
}

}  // namespace lamina
