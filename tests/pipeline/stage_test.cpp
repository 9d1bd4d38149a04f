#include "lamina/pipeline/stage.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "lamina/core/error.hpp"
#include "lamina/pipeline/stage_cut.hpp"
#include "small_network.hpp"

namespace lamina {
namespace {

using tests::small_modules;
using tests::train_packet;

const Initializer float64(1, at::kDouble);

std::vector<NamedTensor> all_tensors(const std::vector<Stage>& stages) {
  std::vector<NamedTensor> all;
  for (const Stage& stage : stages)
    for (const Stage::Part& part : stage.parts())
      for (const NamedTensor& entry : part.module.tensors()) all.push_back(entry);
  return all;
}

void run(std::vector<Stage>& stages, Packet packet) {
  for (Stage& stage : stages) packet = stage.process(std::move(packet));
}

std::vector<Stage> split(const std::vector<std::int64_t>& ends, const Initializer& init,
                         const StageOptions& options = {}) {
  std::vector<Stage> stages;
  for (const StageSpec& spec : make_stage_specs(cut_into_stages(small_modules(), ends), 1, true))
    stages.emplace_back(spec, options, init);
  return stages;
}

TEST(Stage, TheCutIntoStagesDoesNotMatterToTheBit) {
  std::vector<Stage> one = split({}, Initializer(1));
  std::vector<Stage> three = split({0, 2}, Initializer(1));
  for (int step = 0; step < 4; ++step) {
    run(one, train_packet(step, 6));
    run(three, train_packet(step, 6));
  }
  const auto a = all_tensors(one), b = all_tensors(three);
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].name, b[i].name);
    EXPECT_TRUE(at::equal(a[i].tensor, b[i].tensor)) << a[i].name;
  }
}

// The reference: every module by plain autograd on its own loss, and SGD written out.
TEST(Stage, AStepEqualsPlainAutogradOnEachModulesOwnLoss) {
  const std::vector<ModuleSpec> specs = small_modules();
  std::vector<Stage> stages = split({1}, float64);
  const SgdConfig sgd;
  const Packet packet = train_packet(0, 6, at::kDouble);

  std::vector<at::Tensor> expected;
  at::Tensor x = packet.x_BCHW;
  for (const ModuleSpec& spec : specs) {
    const Module module(spec, float64);
    const std::vector<at::Tensor> parameters = module.parameters();
    const Head& head = module.branches().front().head();
    const Pass pass = module.forward(x, Mode::train);
    const at::Tensor loss = at::cross_entropy_loss(head.logits(pass.output, Mode::train), packet.y_B);
    const auto grads = torch::autograd::grad({loss}, parameters);
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      const at::Tensor g = grads[i] + sgd.weight_decay * parameters[i].detach();
      expected.push_back(parameters[i].detach() - packet.lr * (g + sgd.momentum * g));
    }
    x = pass.output.detach();
  }
  run(stages, packet);
  std::size_t i = 0;
  for (const Stage& stage : stages)
    for (const Stage::Part& part : stage.parts())
      for (const at::Tensor& parameter : part.module.parameters()) {
        const double error = (parameter.detach() - expected[i]).norm().item<double>();
        EXPECT_LE(error, 1e-12 * expected[i].norm().item<double>() + 1e-300) << i;
        ++i;
      }
  EXPECT_EQ(i, expected.size());
}

TEST(Stage, ItsOutputIsDetachedAndTheLastStageLeavesNoActivation) {
  std::vector<Stage> stages = split({1}, Initializer(1));
  Packet packet = stages[0].process(train_packet(0, 6));
  EXPECT_FALSE(packet.x_BCHW.requires_grad());
  EXPECT_EQ(packet.modules.size(), 2u);
  packet = stages[1].process(std::move(packet));
  EXPECT_EQ(packet.x_BCHW.numel(), 0);
  EXPECT_EQ(packet.samples(), 6);
  EXPECT_EQ(packet.modules.size(), 4u);
  EXPECT_EQ(packet.stages.size(), 2u);
}

TEST(Stage, EvaluationChangesNothing) {
  std::vector<Stage> stages = split({1}, Initializer(1));
  run(stages, train_packet(0, 6));
  std::vector<at::Tensor> before;
  for (const NamedTensor& entry : all_tensors(stages)) before.push_back(entry.tensor.detach().clone());
  Packet packet = train_packet(1, 6);
  packet.kind = PacketKind::eval;
  for (Stage& stage : stages) packet = stage.process(std::move(packet));
  ASSERT_EQ(packet.modules.size(), 1u) << "the classifier alone is asked";
  const auto after = all_tensors(stages);
  for (std::size_t i = 0; i < before.size(); ++i)
    EXPECT_TRUE(at::equal(before[i], after[i].tensor)) << after[i].name;
}

TEST(Stage, LearnsABatchByHeart) {
  std::vector<Stage> stages = split({1}, Initializer(1));
  double first = 0, last = 0;
  for (int step = 0; step < 30; ++step) {
    Packet packet = train_packet(0, 16);
    for (Stage& stage : stages) packet = stage.process(std::move(packet));
    (step == 0 ? first : last) = packet.modules.back().losses.front().loss;
  }
  EXPECT_LT(last, 0.2 * first);
}

TEST(Stage, AsleepItPassesPacketsOfTheSameShapesAndLearnsNothing) {
  std::vector<Stage> awake = split({1}, Initializer(1));
  std::vector<Stage> asleep = split({1}, Initializer(1), {.sleep_s = 1e-3});
  std::vector<at::Tensor> before;
  for (const NamedTensor& entry : all_tensors(asleep)) before.push_back(entry.tensor.detach().clone());
  Packet a = train_packet(0, 6), b = train_packet(0, 6);
  for (std::size_t i = 0; i < awake.size(); ++i) {
    a = awake[i].process(std::move(a));
    b = asleep[i].process(std::move(b));
    EXPECT_EQ(b.x_BCHW.sizes(), a.x_BCHW.sizes());
    EXPECT_EQ(b.x_BCHW.strides(), a.x_BCHW.strides());
    EXPECT_EQ(b.modules.size(), a.modules.size());
    EXPECT_EQ(b.stages.size(), a.stages.size());
  }
  const auto after = all_tensors(asleep);
  for (std::size_t i = 0; i < before.size(); ++i)
    EXPECT_TRUE(at::equal(before[i], after[i].tensor)) << after[i].name;
}

TEST(Stage, AMarkIsNotForAStage) {
  std::vector<Stage> stages = split({}, Initializer(1));
  EXPECT_THROW(stages[0].process({.kind = PacketKind::stop}), Error);
}

}  // namespace
}  // namespace lamina
