#include "loss.hpp"

#include <ATen/ATen.h>

#include "lamina/core/error.hpp"

namespace lamina {

at::Tensor quarter(const at::Tensor& map_BCHW, int quadrant) {
  if (quadrant < 0) return map_BCHW;
  const std::int64_t height = map_BCHW.size(2) / 2;
  const std::int64_t width = map_BCHW.size(3) / 2;
  return map_BCHW.narrow(2, quadrant / 2 * height, height).narrow(3, quadrant % 2 * width, width);
}

at::Tensor term_loss(LossKind kind, const at::Tensor& output, const Targets& targets, int quadrant) {
  switch (kind) {
    case LossKind::cross_entropy:
      return at::cross_entropy_loss(output, targets.y_B);
    case LossKind::contrast:
    case LossKind::reconstruction:
    case LossKind::similarity:
      break;
  }
  throw Error(ErrorKind::contract, "a loss that is not written yet");
}

}  // namespace lamina
