// What c10's interface to devices does not tell of a GPU.
#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <array>

#include "lamina/comm/device.hpp"
#include "lamina/core/error.hpp"

namespace lamina {

std::string pci_bus_id(at::Device device) {
  if (device.is_cpu()) return {};
  std::array<char, 32> text{};
  const cudaError_t result =
      cudaDeviceGetPCIBusId(text.data(), static_cast<int>(text.size()), device.index());
  if (result != cudaSuccess)
    throw Error(ErrorKind::device,
                fmt::format("cudaDeviceGetPCIBusId of {}: {}", device.str(), cudaGetErrorString(result)));
  return text.data();
}

}  // namespace lamina
