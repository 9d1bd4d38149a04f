#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "lamina/core/error.hpp"
#include "window_network.hpp"
#include "worker_job.hpp"

namespace lamina {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using tests::expect_equal;
using tests::train_on;
using tests::train_packet;
using tests::Trial;

Stage one_stage(const std::vector<ModuleSpec>& modules, const StageOptions& options = {}) {
  return {make_stage_specs({modules}, 1, true).front(), options, Initializer(1)};
}

template <class Act>
void expect_nonfinite(Act act, const auto& message) {
  try {
    act();
    ADD_FAILURE() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::nonfinite);
    EXPECT_THAT(error.what(), message);
  }
}

Packet poisoned(Packet packet) {
  packet.x_BCHW = packet.x_BCHW.clone();
  packet.x_BCHW[0].fill_(INFINITY);
  return packet;
}

TEST(Nonfinite, ALossThatIsNotEndsTheRunAndNamesStepModuleAndHead) {
  Stage stage = one_stage(tests::small_modules());
  stage.process(train_packet(0, 6));
  expect_nonfinite([&] { stage.process(poisoned(train_packet(1, 6))); },
                   AllOf(HasSubstr("step 1"), HasSubstr("nan from head mlp_sr (independent) of module 0")));
}

// Features of 1e25 under weights of 1e-25 have ordinary logits, and the weights' gradient is of 1e25.
TEST(Nonfinite, AGradientThatIsNotEndsTheRunThoughTheLossesAreFinite) {
  const Backbone net = make_backbone({.backbone = "resnet8", .norm = "none"}, {3, 8, 8}, 10);
  const auto modules =
      make_modules(net, cut_into_modules(net, {.modules = 4}), {.framework = "greedy", .head = "linear"});
  Stage stage = one_stage(modules);
  {
    const at::NoGradGuard no_grad;
    for (const Stage::Part& part : stage.parts())
      for (const NamedTensor& entry : part.module.branches().front().head().tensors())
        entry.tensor.mul_(1e-25);
  }
  Packet packet = train_packet(3, 6);
  packet.x_BCHW.mul_(1e25);
  expect_nonfinite([&] { stage.process(packet); },
                   AllOf(HasSubstr("step 3"), HasSubstr("norm inf for head.0.independent."),
                         HasSubstr("of module 0 with head linear (independent)")));
}

TEST(Nonfinite, EndToEndTheLossAndTheGradientsThatFlowBackEndTheRun) {
  const auto specs = make_stage_specs(cut_into_stages(tests::small_end_to_end_modules(), 2), 1, true);
  const StageOptions options{.micro_batches = 1};
  Stage first(specs[0], options, Initializer(1)), last(specs[1], options, Initializer(1));
  const Packet passed = first.forward(train_packet(7, 6), 0);
  expect_nonfinite([&] { last.forward(poisoned(passed), 0); },
                   AllOf(HasSubstr("step 7"), HasSubstr("(classifier) of module 3")));
  first.backward(0, at::full_like(passed.x_BCHW, INFINITY));
  expect_nonfinite([&] { first.update(); }, AllOf(HasSubstr("step 7"), HasSubstr("of module 0")));
}

// Three stages with windows and averages over their edges, in one thread.
class Skipping {
 public:
  Skipping() {
    const MethodConfig method = tests::mlaan(3);
    StageOptions options = tests::options_for(method);
    options.on_nonfinite = OnNonfinite::skip;
    const auto cut = cut_into_stages(tests::six_modules(method), std::vector<std::int64_t>{1, 3});
    for (const StageSpec& spec : make_stage_specs(cut, options.window, true))
      stages_.emplace_back(spec, options, Initializer(1, at::kDouble));
    for (const Stage& stage : stages_) plane_.publish_first(stage, 0, {});
  }

  /// A step of the first stages alone, or of all.
  Packet step(Packet packet, std::size_t num_stages = 3) {
    const std::int64_t step = packet.step;
    for (std::size_t i = 0; i < stages_.size(); ++i) {
      if (i < num_stages) {
        plane_.refresh(stages_[i], step);
        packet = stages_[i].process(std::move(packet));
      }
      plane_.publish(stages_[i], step + 1);
    }
    return packet;
  }

  /// Of a head that no other stage looks through.
  at::Tensor bias_of_second_stage() const {
    return stages_[1].parts().front().module.branches().front().parameters().back();
  }

  std::vector<at::Tensor> state(std::size_t stage) const {
    std::vector<at::Tensor> state;
    for (const Stage::Part& part : stages_[stage].parts()) {
      for (const NamedTensor& entry : part.module.tensors()) state.push_back(entry.tensor.detach().clone());
      for (const at::Tensor& momentum : part.optimizer.momentum()) state.push_back(momentum.clone());
    }
    return state;
  }

 private:
  SnapshotPlane plane_{{}, std::make_shared<SnapshotBoard>(SnapshotPolicy{}.depth()), nullptr, Seconds(1)};
  std::vector<Stage> stages_;
};

TEST(Nonfinite, AStageThatSkipsAStepAndThoseBehindItAreAsIfTheyHadNotSeenIt) {
  Skipping found, expected;
  for (const int step : {0, 1}) {
    found.step(tests::six_packet(step));
    expected.step(tests::six_packet(step));
  }
  const at::Tensor bias = found.bias_of_second_stage().detach();
  const at::Tensor sound = bias.clone();
  bias.fill_(INFINITY);
  const Packet left = found.step(tests::six_packet(2));
  bias.copy_(sound);
  expected.step(tests::six_packet(2), /*num_stages=*/1);

  EXPECT_TRUE(left.skipped);
  EXPECT_FALSE(left.stages[0].skipped);
  EXPECT_TRUE(left.stages[1].skipped);
  EXPECT_TRUE(left.stages[2].skipped);
  EXPECT_TRUE(std::isfinite(left.modules[1].losses.front().loss));
  EXPECT_TRUE(std::isnan(left.modules[2].losses.front().loss));
  EXPECT_TRUE(std::isnan(left.modules[5].losses.front().loss));
  EXPECT_EQ(left.modules[5].losses.front().correct, -1);

  for (std::size_t stage = 0; stage < 3; ++stage) expect_equal(found.state(stage), expected.state(stage));
  EXPECT_FALSE(found.step(tests::six_packet(3)).skipped);
  expected.step(tests::six_packet(3));
  for (std::size_t stage = 0; stage < 3; ++stage) expect_equal(found.state(stage), expected.state(stage));
}

Trial mlaan_trial(OnNonfinite on_nonfinite) {
  return {.modules = tests::small_mlaan_modules(),
          .options = {.window = 3, .on_nonfinite = on_nonfinite},
          .policy = {.lag = 1}};
}

TEST(Nonfinite, ToBeReadyToSkipOrToGoBackCostsNoBit) {
  const std::vector<at::Tensor> expected = train_on(2, mlaan_trial(OnNonfinite::stop)).tensors;
  expect_equal(train_on(2, mlaan_trial(OnNonfinite::skip)).tensors, expected);
  expect_equal(train_on(2, mlaan_trial(OnNonfinite::rollback)).tensors, expected);
}

TEST(Nonfinite, MoreSkippedStepsInARowThanAllowedEndTheRun) {
  Stage stage = one_stage(tests::small_modules(), {.on_nonfinite = OnNonfinite::skip, .max_skips = 2});
  for (int step = 0; step < 6; ++step)  // every third is sound
    EXPECT_EQ(stage.process(step % 3 < 2 ? poisoned(train_packet(step, 6)) : train_packet(step, 6)).skipped,
              step % 3 < 2);
  stage.process(poisoned(train_packet(6, 6)));
  Packet skipped_before = train_packet(7, 6);
  skipped_before.skipped = true;  // by a stage before this one: counts as well
  stage.process(skipped_before);
  expect_nonfinite([&] { stage.process(poisoned(train_packet(8, 6))); },
                   AllOf(HasSubstr("step 8, stage 0"), HasSubstr("head mlp_sr (independent) of module 0"),
                         HasSubstr("train.max_skips: 2 steps in a row")));
}

// What upstream stages wait for comes from stages that are spoilt, so nobody is held up.
TEST(Nonfinite, BehindAStepThatIsGivenUpEverythingIsAbandonedAndTheStreamEnds) {
  Trial trial = mlaan_trial(OnNonfinite::rollback);
  trial.poisoned = 1;
  for (const int workers : {1, 2, 4}) {
    const tests::Outcome outcome = train_on(workers, trial);
    EXPECT_FALSE(outcome.left.front().abandoned);
    for (std::size_t i = 1; i < outcome.left.size(); ++i) EXPECT_TRUE(outcome.left[i].abandoned) << i;
    EXPECT_EQ(outcome.left.back().kind, PacketKind::stop);
  }
}

TEST(Nonfinite, StagesBeforeTheOneThatIsSpoiltTrainOn) {
  const auto specs = make_stage_specs(cut_into_stages(tests::small_modules(), 2), 1, true);
  const StageOptions options{.on_nonfinite = OnNonfinite::rollback};
  Stage first(specs[0], options, Initializer(1)), last(specs[1], options, Initializer(1));
  const Packet left = last.process(poisoned(first.process(train_packet(0, 6))));
  EXPECT_TRUE(left.abandoned);
  EXPECT_FALSE(left.stages[0].skipped);
  EXPECT_TRUE(left.stages[1].skipped);
  EXPECT_FALSE(first.is_abandoned());
  EXPECT_TRUE(last.is_abandoned());
  EXPECT_FALSE(first.process(train_packet(1, 6)).abandoned);
}

TEST(Nonfinite, SkippedStepsAreTheSameOnAnyNumberOfWorkers) {
  Trial trial = mlaan_trial(OnNonfinite::skip);
  trial.poisoned = 1;
  const tests::Outcome one = train_on(1, trial);
  for (std::size_t i = 0; i < one.left.size(); ++i) EXPECT_EQ(one.left[i].skipped, i == 1) << i;
  for (const at::Tensor& tensor : one.tensors) EXPECT_TRUE(tensor.isfinite().all().item<bool>());
  for (const int workers : {2, 4}) {
    const tests::Outcome many = train_on(workers, trial);
    expect_equal(many.tensors, one.tensors);
    expect_equal(many.marked, one.marked);
    EXPECT_TRUE(many.left[1].skipped);
  }
}

// Only the first replica has the sample that is not finite.
TEST(Nonfinite, ReplicasSkipTogether) {
  Trial trial{.modules = tests::small_mlaan_modules("none"),
              .options = {.window = 3, .on_nonfinite = OnNonfinite::skip},
              .policy = {.lag = 1},
              .dtype = at::kDouble,
              .poisoned = 1};
  const tests::Outcome expected = train_on(2, trial);
  trial.replicas = {3, 2};
  const tests::Outcome found = train_on(2, trial);
  EXPECT_TRUE(found.left[1].skipped);
  EXPECT_LT(tests::relative_difference(found.tensors, expected.tensors), 1e-9);
}

// A sum over this stage and a replica that has zeros where this one has gradients, and a loss that is not
// finite.
class SumWithAnother final : public SumHandle {
 public:
  explicit SumWithAnother(std::vector<at::Tensor> values) : values_(std::move(values)) {}
  bool done() const override { return true; }
  std::vector<at::Tensor> wait(Seconds) override {
    if (values_.front().scalar_type() == at::kDouble) values_.front().add_(INFINITY);
    return std::move(values_);
  }

 private:
  std::vector<at::Tensor> values_;
};

TEST(Nonfinite, ReplicasAbandonTogether) {
  Trial trial = mlaan_trial(OnNonfinite::rollback);
  trial.replicas = {3, 2};
  trial.poisoned = 1;
  const tests::Outcome outcome = train_on(2, trial);
  EXPECT_FALSE(outcome.left[0].abandoned);
  EXPECT_TRUE(outcome.left[1].abandoned);
  EXPECT_EQ(outcome.left.back().kind, PacketKind::stop);

  Stage stage = one_stage(tests::small_modules(), {.on_nonfinite = OnNonfinite::rollback});
  stage.share_gradients([](const auto& values) { return std::make_unique<SumWithAnother>(values); },
                        Seconds(1));
  EXPECT_TRUE(stage.process(train_packet(0, 6)).abandoned) << "for a loss that only another replica has";
}

TEST(Nonfinite, AReplicaSkipsForALossThatOnlyAnotherHas) {
  Stage stage = one_stage(tests::small_modules(), {.on_nonfinite = OnNonfinite::skip});
  const auto bias = [&] { return stage.parts().back().module.parameters().back().detach().clone(); };
  const at::Tensor before = bias();
  stage.share_gradients([](const auto& values) { return std::make_unique<SumWithAnother>(values); },
                        Seconds(1));
  EXPECT_TRUE(stage.process(train_packet(0, 6)).skipped);
  EXPECT_TRUE(at::equal(bias(), before));
}

}  // namespace
}  // namespace lamina
