#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "worker_job.hpp"

namespace lamina {
namespace {

using tests::train_on;
using tests::Trial;

constexpr double small_norm = 0.05;  // every module's gradient is longer

// By module, the gradients of a step as the optimizer gets them.
std::vector<std::vector<at::Tensor>> gradients(double clip_grad_norm) {
  const auto specs = make_stage_specs({tests::small_modules()}, 1, true);
  Stage stage(specs.front(), {.clip_grad_norm = clip_grad_norm}, Initializer(1));
  std::vector<at::Tensor> all;
  stage.observe_gradients([&](const std::string&, const at::Tensor& grad) { all.push_back(grad.clone()); });
  stage.process(tests::train_packet(0, 6));
  std::vector<std::vector<at::Tensor>> by_module;
  auto next = all.begin();
  for (const Stage::Part& part : stage.parts()) {
    const auto count = static_cast<std::ptrdiff_t>(part.module.parameters().size());
    by_module.emplace_back(next, next + count);
    next += count;
  }
  return by_module;
}

// tests/app/clip_test.py asks torch itself.
TEST(Clipping, ScalesAModulesGradientsToTheNormWhereTheyAreLonger) {
  const auto unclipped = gradients(0);
  for (const double clip : {small_norm, 1.0, 1e6}) {
    const auto found = gradients(clip);
    ASSERT_EQ(found.size(), 4u);
    for (std::size_t module = 0; module < found.size(); ++module) {
      double square = 0;
      for (const at::Tensor& grad : unclipped[module])
        square += grad.to(at::kDouble).square().sum().item<double>();
      const double norm = std::sqrt(square);
      if (clip == small_norm) {
        EXPECT_GT(norm, clip) << "nothing to clip in module " << module;
      }
      const double factor = std::min(1.0, clip / (norm + 1e-6));
      for (std::size_t i = 0; i < found[module].size(); ++i)
        EXPECT_TRUE(at::allclose(found[module][i], unclipped[module][i] * factor, 1e-5, 1e-12))
            << "module " << module << ", gradient " << i;
    }
  }
}

// A short batch's replicas have few samples each; clipped before the sum, each would count as much as a whole
// batch.
TEST(Clipping, OfReplicasIsOfTheirSum) {
  Trial trial{.modules = tests::small_mlaan_modules("none"),
              .options = {.window = 3, .clip_grad_norm = small_norm},
              .policy = {.lag = 1},
              .dtype = at::kDouble};
  const tests::Outcome expected = train_on(2, trial);
  trial.replicas = {2, 3};
  EXPECT_LT(tests::relative_difference(train_on(2, trial).tensors, expected.tensors), 1e-9);
  trial.options.clip_grad_norm = 0;
  EXPECT_GT(tests::relative_difference(train_on(2, trial).tensors, expected.tensors), 1e-3)
      << "nothing was clipped";
}

TEST(Clipping, EndToEndIsTheSameOnAnyNumberOfWorkers) {
  const Trial trial{.modules = tests::small_end_to_end_modules("batch"),
                    .options = {.clip_grad_norm = small_norm},
                    .schedule = "1f1b",
                    .micro_batches = 2};
  const std::vector<at::Tensor> expected = train_on(1, trial).tensors;
  const std::vector<at::Tensor> found = train_on(2, trial).tensors;
  ASSERT_EQ(found.size(), expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) EXPECT_TRUE(at::equal(found[i], expected[i])) << i;
}

}  // namespace
}  // namespace lamina
