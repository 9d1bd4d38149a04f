#pragma once

#include "lamina/nn/head.hpp"

namespace lamina {

/// A term's loss, a scalar: mean over the samples. `quadrant` as HeadTerm has it.
at::Tensor term_loss(LossKind kind, const at::Tensor& output, const Targets& targets, int quadrant);

/// The quarter of a map {B, C, H, W}, numbered row by row; the whole for -1.
at::Tensor quarter(const at::Tensor& map_BCHW, int quadrant);

}  // namespace lamina
