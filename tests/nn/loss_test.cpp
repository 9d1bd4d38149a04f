#include "nn/loss.hpp"

#include <gtest/gtest.h>

#include "nn/examples.hpp"

namespace lamina {
namespace {

TEST(Loss, CrossEntropyIsTheMeanOfTheLabelsNegativeLogProbabilities) {
  const at::Tensor output = noise({6, 10}, 1);
  const at::Tensor y = labels_of(6);
  double expected = 0;
  for (std::int64_t b = 0; b < 6; ++b)
    expected -=
        at::log(output[b].exp() / output[b].exp().sum())[y[b].item<std::int64_t>()].item<double>() / 6;
  EXPECT_NEAR(term_loss(LossKind::cross_entropy, output, {.y_B = y}, -1).item<double>(), expected, 1e-12);
}

}  // namespace
}  // namespace lamina
