#include "version.hpp"

#include <ATen/ATen.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <fmt/format.h>
#include <torch/headeronly/version.h>

#include "lamina/comm/mpi.hpp"
#include "lamina/comm/nccl.hpp"

namespace lamina {

namespace {

// The runtime's that LibTorch was built with, whether or not there is a driver.
std::string cuda_version() {
  const at::CUDAHooksInterface& hooks = at::detail::getCUDAHooks();
  if (!hooks.hasCUDART()) return "none";
  return fmt::format("{}.{}", hooks.versionCUDART() / 1000, hooks.versionCUDART() % 1000 / 10);
}

}  // namespace

std::string version_text() {
  return fmt::format("lamina {}\nLibTorch {} ({})\nMPI {}\nCUDA {}\nNCCL {}", LAMINA_VERSION, TORCH_VERSION,
                     at::get_cpu_capability(), mpi_version(), cuda_version(), nccl_version());
}

}  // namespace lamina
