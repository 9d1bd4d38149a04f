#pragma once

#include <vector>

#include "lamina/nn/framework.hpp"

namespace lamina {

/// Terms that make the image out of the features: one, "decoder.", or one for every quarter, "decoder.<q>.".
/// @throws Error{config} for images that are not square, or for quarters of odd sides.
std::vector<HeadTerm> decoder_terms(const HeadPlace& place, double weight, bool by_quarters);

}  // namespace lamina
