#pragma once

#include "lamina/nn/head.hpp"

namespace lamina {

/// A term's loss without its weight, a scalar: mean over the samples. docs/method.md, Heads and losses.
/// @throws Error{contract} if the term needs an image that is not there, or has another shape.
at::Tensor term_loss(const HeadTerm& term, const at::Tensor& output, const Targets& targets);

/// The quarter of a map {B, C, H, W}, numbered row by row; the whole for -1.
at::Tensor quarter(const at::Tensor& map_BCHW, int quadrant);

/// Cosines between the samples' rows, each centred: {B, F} -> {B, B} in [-1,1]. A row of {B, C, H, W} is the
/// channels' standard deviations over H and W, or the values themselves where there is one place alone.
at::Tensor similarity_matrix(const at::Tensor& samples);

}  // namespace lamina
