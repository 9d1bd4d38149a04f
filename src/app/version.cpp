#include "version.hpp"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <torch/headeronly/version.h>

#include "lamina/comm/mpi.hpp"

namespace lamina {

std::string version_text() {
  return fmt::format("lamina {}\nLibTorch {} ({})\nMPI {}", LAMINA_VERSION, TORCH_VERSION,
                     at::get_cpu_capability(), mpi_version());
}

}  // namespace lamina
