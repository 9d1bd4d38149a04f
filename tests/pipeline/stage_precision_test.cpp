// Stages whose layers compute in bfloat16, and stages whose activations travel in it.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "lamina/pipeline/snapshot_plane.hpp"
#include "lamina/pipeline/stage.hpp"
#include "lamina/pipeline/stage_cut.hpp"
#include "small_network.hpp"

namespace lamina {
namespace {

using tests::train_packet;

const StageOptions fp32{.window = 3};
const StageOptions mixed{.window = 3, .precision = Precision::bf16};
const StageOptions rounded{.window = 3, .rounds_output = true};
const StageOptions all_bf16{.window = 3, .precision = Precision::bf16, .rounds_output = true};

// Windows, LAMs, EMAs and shadows, in two stages that a thread runs by turns.
class StagePair {
 public:
  explicit StagePair(const StageOptions& options, const SnapshotPolicy& policy = {})
      : plane_(policy, std::make_shared<SnapshotBoard>(policy.depth()), nullptr, Seconds(1)) {
    const std::vector<std::int64_t> ends{1};
    for (const StageSpec& spec :
         make_stage_specs(cut_into_stages(tests::small_mlaan_modules(), ends), options.window, true))
      stages_.emplace_back(spec, options, Initializer(1));
    for (Stage& stage : stages_) {
      plane_.publish_first(stage, 0, {});
      stage.observe_gradients(
          [this](const std::string& name, const at::Tensor& grad) { grads_[name] = grad; });
    }
  }
  StagePair(const StagePair&) = delete;
  StagePair& operator=(const StagePair&) = delete;

  Packet first(Packet packet) {
    plane_.refresh(stages_[0], packet.step);
    packet = stages_[0].process(std::move(packet));
    plane_.publish(stages_[0], packet.step + 1);
    return packet;
  }
  Packet second(Packet packet) {
    packet = stages_[1].process(std::move(packet));
    plane_.publish(stages_[1], packet.step + 1);
    return packet;
  }
  Packet step(Packet packet) { return second(first(std::move(packet))); }

  std::vector<Stage>& stages() { return stages_; }
  const std::map<std::string, at::Tensor>& grads() const { return grads_; }

  std::vector<at::Tensor> parameters() const {
    std::vector<at::Tensor> all;
    for (const Stage& stage : stages_)
      for (const Stage::Part& part : stage.parts())
        for (const at::Tensor& parameter : part.module.parameters()) all.push_back(parameter.detach());
    return all;
  }

 private:
  SnapshotPlane plane_;
  std::vector<Stage> stages_;
  std::map<std::string, at::Tensor> grads_;
};

std::vector<double> losses(const Packet& packet) {
  std::vector<double> all;
  for (const ModuleReport& module : packet.modules)
    for (const LossReport& loss : module.losses) all.push_back(loss.loss);
  return all;
}

TEST(MixedPrecision, FirstLossesAreCloseToThoseOfFloat32) {
  const std::vector<double> expected = losses(StagePair(fp32).step(train_packet(0, 16)));
  for (const StageOptions& options : {mixed, rounded, all_bf16}) {
    const std::vector<double> found = losses(StagePair(options).step(train_packet(0, 16)));
    ASSERT_EQ(found.size(), expected.size());
    EXPECT_NE(found, expected) << "nothing was rounded";
    // A rounding is at most 2^-9 of a value; normalised sums of many keep about that.
    for (std::size_t i = 0; i < found.size(); ++i)
      EXPECT_NEAR(found[i], expected[i], 0.02 * expected[i]) << i;
  }
}

TEST(MixedPrecision, EverythingThatStaysIsFloat32) {
  StagePair pair(all_bf16);
  for (int step = 0; step < 2; ++step) pair.step(train_packet(step, 6));
  for (const Stage& stage : pair.stages()) {
    for (const Stage::Part& part : stage.parts()) {
      for (const NamedTensor& entry : part.module.tensors())
        if (!entry.name.ends_with("num_batches_tracked")) {
          EXPECT_EQ(entry.tensor.scalar_type(), at::kFloat) << entry.name;
          EXPECT_TRUE(entry.tensor.isfinite().all().item<bool>()) << entry.name;
        }
      for (const at::Tensor& momentum : part.optimizer.momentum())
        EXPECT_EQ(momentum.scalar_type(), at::kFloat);
    }
    for (const std::string& part : stage.spec().published)
      for (const at::Tensor& tensor : stage.copy_part(part, 2).tensors)
        EXPECT_EQ(tensor.scalar_type(), at::kFloat) << part;
  }
  ASSERT_FALSE(pair.grads().empty());
  for (const auto& [name, grad] : pair.grads()) EXPECT_EQ(grad.scalar_type(), at::kFloat) << name;
}

TEST(MixedPrecision, LearnsABatchByHeart) {
  for (const StageOptions& options : {mixed, all_bf16}) {
    StagePair pair(options);
    const double first = losses(pair.step(train_packet(0, 16))).back();
    double last = 0;
    for (int step = 1; step < 30; ++step) {
      Packet packet = train_packet(0, 16);
      packet.step = step;
      last = losses(pair.step(std::move(packet))).back();
    }
    EXPECT_LT(last, 0.2 * first);
  }
}

TEST(MixedPrecision, EvaluationComputesInItAndChangesNothing) {
  for (const StageOptions& options : {mixed, all_bf16}) {
    StagePair exact(fp32), pair(options);
    const std::vector<at::Tensor> before = pair.parameters();
    std::vector<at::Tensor> copies;
    for (const at::Tensor& parameter : before) copies.push_back(parameter.clone());
    const auto evaluate = [](StagePair& of) {
      Packet packet = train_packet(1, 6);
      packet.kind = PacketKind::eval;
      for (Stage& stage : of.stages()) packet = stage.process(std::move(packet));
      return losses(packet).back();
    };
    const double expected = evaluate(exact), found = evaluate(pair);
    EXPECT_NE(found, expected);
    EXPECT_NEAR(found, expected, 0.03 * expected);
    for (std::size_t i = 0; i < copies.size(); ++i) EXPECT_TRUE(at::equal(pair.parameters()[i], copies[i]));
  }
}

TEST(RoundedTransfer, IsTheRoundedActivationOfHalfTheBytes) {
  const at::Tensor exact = StagePair(fp32).first(train_packet(0, 6)).x_BCHW;
  const at::Tensor found = StagePair(rounded).first(train_packet(0, 6)).x_BCHW;
  EXPECT_EQ(found.nbytes(), exact.nbytes() / 2);
  EXPECT_TRUE(at::equal(found, exact.to(at::kBFloat16)));
  EXPECT_EQ(found.strides(), exact.strides());
}

TEST(RoundedTransfer, WithLayersInBFloat16RoundsNothingMore) {
  const at::Tensor wide = StagePair(mixed).first(train_packet(0, 6)).x_BCHW;
  const at::Tensor narrow = StagePair(all_bf16).first(train_packet(0, 6)).x_BCHW;
  EXPECT_EQ(wide.scalar_type(), at::kFloat);
  EXPECT_EQ(narrow.scalar_type(), at::kBFloat16);
  EXPECT_TRUE(at::equal(wide, narrow.to(at::kFloat)));
}

// The stage behind computes on what has arrived, and its shadow in the stage before on the same.
TEST(RoundedTransfer, AStageAndItsShadowComputeOnWhatHasArrived) {
  StagePair pair(rounded), other(fp32);
  Packet arrived = pair.first(train_packet(0, 6));
  Packet widened = arrived;
  widened.x_BCHW = widened.x_BCHW.to(at::kFloat);
  EXPECT_EQ(losses(pair.second(std::move(arrived))), losses(other.second(std::move(widened))));

  // Lookahead of stage 0 on an input whose rounding changes what the shadow's first ReLUs let through.
  StagePair exact(fp32);
  exact.first(train_packet(0, 6));
  StagePair again(rounded);
  again.first(train_packet(0, 6));
  double difference = 0;
  for (const auto& [name, grad] : exact.grads())
    difference += (grad - again.grads().at(name)).abs().sum().item<double>();
  EXPECT_GT(difference, 0) << "the shadow saw the activation before it was rounded";
}

TEST(RoundedTransfer, AReplicaWithoutSamplesPassesOnNoneOfTheSameType) {
  StagePair pair(all_bf16);
  Packet packet = train_packet(0, 6);
  packet.kind = PacketKind::eval;
  packet.x_BCHW = packet.x_BCHW.slice(0, 0, 0);
  packet.y_B = packet.y_B.slice(0, 0, 0);
  for (Stage& stage : pair.stages()) {
    packet = stage.process(std::move(packet));
    EXPECT_EQ(packet.x_BCHW.scalar_type(), at::kBFloat16);
    EXPECT_EQ(packet.samples(), 0);
  }
}

TEST(RoundedTransfer, WhatTheLastStageLeavesIsOfTheSameTypeAsWhatItsReplicasJoin) {
  const auto specs = make_stage_specs(cut_into_stages(tests::small_modules(), std::int64_t{1}), 1, true);
  Stage whole(specs.front(), {.rounds_output = true}, Initializer(1));
  EXPECT_EQ(whole.process(train_packet(0, 6)).x_BCHW.scalar_type(), at::kBFloat16);
}

}  // namespace
}  // namespace lamina
