#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include "lamina/core/error.hpp"
#include "lamina/pipeline/share.hpp"
#include "lamina/pipeline/stage.hpp"
#include "lamina/pipeline/stage_cut.hpp"
#include "naive_step.hpp"
#include "window_network.hpp"

namespace lamina {
namespace {

using tests::largest_error;
using tests::NaiveStep;
using tests::small_end_to_end_modules;
using tests::Tensors;
using tests::train_packet;

constexpr std::int64_t batch = 6;

// Stages that one thread runs one after another.
class Chain {
 public:
  Chain(const std::vector<std::int64_t>& ends, const StageOptions& options, const std::string& norm = "none",
        at::ScalarType dtype = at::kDouble)
      : options_(options) {
    for (const StageSpec& spec :
         make_stage_specs(cut_into_stages(small_end_to_end_modules(norm), ends), 1, true))
      stages_.emplace_back(spec, options, Initializer(1, dtype));
    for (Stage& stage : stages_)
      stage.observe_gradients(
          [this](const std::string& name, const at::Tensor& grad) { gradients_[name] = grad.clone(); });
  }

  Packet forward(const Packet& packet, int micro) {
    Packet part = micro_batch(packet, micro, options_.micro_batches);
    for (Stage& stage : stages_) part = stage.forward(std::move(part), micro);
    return part;
  }

  void backward(int micro) {
    at::Tensor grad;
    for (auto stage = stages_.rbegin(); stage != stages_.rend(); ++stage) grad = stage->backward(micro, grad);
    EXPECT_FALSE(grad.defined()) << "nobody is before the first stage";
  }

  // All forwards, then all backwards. @return the packet as it leaves.
  Packet step(const Packet& packet) {
    Packet whole;
    for (int micro = 0; micro < options_.micro_batches; ++micro) {
      Packet part = forward(packet, micro);
      if (micro == 0)
        whole = std::move(part);
      else
        join_micro_batch(whole, std::move(part));
    }
    for (int micro = 0; micro < options_.micro_batches; ++micro) backward(micro);
    update();
    return whole;
  }

  void update() {
    for (Stage& stage : stages_) stage.update();
  }

  Tensors tensors() const {
    Tensors all;
    for (const Stage& stage : stages_)
      for (const Stage::Part& part : stage.parts())
        for (const NamedTensor& entry : part.module.tensors()) all.emplace(entry.name, entry.tensor.detach());
    return all;
  }
  const Tensors& gradients() const { return gradients_; }
  std::vector<Stage>& stages() { return stages_; }

 private:
  StageOptions options_;
  std::vector<Stage> stages_;
  Tensors gradients_;
};

// Autograd on the whole network at once.
NaiveStep reference(const StageOptions& options = {}) {
  return NaiveStep(small_end_to_end_modules("none", 1), options, Initializer(1, at::kDouble));
}

TEST(StageEndToEnd, AnyCutAndAnyMicroBatchesGiveTheWholeBatchsGradient) {
  for (const std::vector<std::int64_t>& ends : {std::vector<std::int64_t>{}, {1}, {0, 1, 2}})
    for (const int micro_batches : {1, 2, 4})
      for (const bool recompute : {false, true}) {
        SCOPED_TRACE(::testing::PrintToString(ends) + " " + std::to_string(micro_batches));
        NaiveStep naive = reference();
        Chain chain(ends, {.micro_batches = micro_batches, .recompute = recompute});
        for (int step = 0; step < 3; ++step) {
          const Packet packet = train_packet(step, batch - step, at::kDouble);
          const Tensors expected = naive.step(packet);
          const Packet left = chain.step(packet);
          EXPECT_LT(largest_error(chain.gradients(), expected), 1e-9);
          EXPECT_EQ(left.samples(), packet.samples());
          EXPECT_EQ(left.modules.size(), 4U);
          EXPECT_EQ(left.stages.size(), ends.size() + 1);
        }
        EXPECT_LT(largest_error(chain.tensors(), naive.tensors()), 1e-9);
      }
}

TEST(StageEndToEnd, TheLossIsTheBatchsMeanWhateverTheMicroBatches) {
  const Packet packet = train_packet(0, 5, at::kDouble);
  const LossReport whole = Chain({1}, {.micro_batches = 1}).step(packet).modules.back().losses.back();
  const LossReport pieces = Chain({1}, {.micro_batches = 3}).step(packet).modules.back().losses.back();
  EXPECT_NEAR(pieces.loss, whole.loss, 1e-12);
  EXPECT_EQ(pieces.correct, whole.correct);
  EXPECT_EQ(whole.branch, "classifier");
}

// Statistics of a batch are used again, and counted once.
TEST(StageEndToEnd, RecomputingChangesNoBitOfParametersOrRunningStatistics) {
  Chain kept({1}, {.micro_batches = 3}, "batch", at::kFloat);
  Chain again({1}, {.micro_batches = 3, .recompute = true}, "batch", at::kFloat);
  for (int step = 0; step < 3; ++step) {
    kept.step(train_packet(step, batch));
    again.step(train_packet(step, batch));
  }
  const Tensors expected = kept.tensors();
  std::size_t statistics = 0;
  for (const auto& [name, tensor] : again.tensors()) {
    EXPECT_TRUE(at::equal(tensor, expected.at(name))) << name;
    if (!name.ends_with("num_batches_tracked")) continue;
    EXPECT_EQ(tensor.item<std::int64_t>(), 9) << name;
    ++statistics;
  }
  EXPECT_GT(statistics, 0U);
}

TEST(StageEndToEnd, ABackwardClosesItsMicroBatchAndOneWithoutForwardIsRefused) {
  Chain chain({1}, {.micro_batches = 3});
  const Packet packet = train_packet(0, batch, at::kDouble);
  chain.forward(packet, 0);
  chain.forward(packet, 1);
  EXPECT_EQ(chain.stages().front().num_open(), 2U);
  chain.backward(0);
  EXPECT_EQ(chain.stages().front().num_open(), 1U);
  try {
    chain.backward(2);
    FAIL() << "there was nothing to go back to";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::contract);
  }
}

// w_{t+1} = w_t - lr * (momentum of g(w_{t-1}) + decay * w_t), with w_{-1} = w_0, written out.
class DelayedReference {
 public:
  explicit DelayedReference(const SgdConfig& sgd) : sgd_(sgd) {
    for (const auto& [name, tensor] : older_.tensors()) {
      newest_[name] = tensor.detach().clone();
      momentum_[name] = at::zeros_like(tensor.detach());
    }
  }

  void step(Packet packet) {
    const double lr = std::exchange(packet.lr, 0);  // asked for the gradient alone
    const Tensors grads = older_.step(packet);
    const at::NoGradGuard no_grad;
    for (auto& [name, w] : newest_) {
      const at::Tensor g = grads.at(name) + sgd_.weight_decay * w;
      at::Tensor& v = momentum_.at(name);
      v = sgd_.momentum * v + g;
      older_.tensors().at(name).copy_(w);
      w = w - lr * (sgd_.nesterov ? g + sgd_.momentum * v : v);
    }
  }
  const Tensors& newest() const { return newest_; }

 private:
  SgdConfig sgd_;
  NaiveStep older_ = reference();
  Tensors newest_, momentum_;
};

TEST(StageEndToEnd, TwoVersionsStepByTheGradientOfOneStepAgo) {
  for (const SgdConfig& sgd : {SgdConfig{}, SgdConfig{.momentum = 0, .weight_decay = 0, .nesterov = false}})
    for (const bool recompute : {false, true}) {
      DelayedReference expected(sgd);
      Chain chain({1}, {.sgd = sgd, .micro_batches = 2, .recompute = recompute, .two_versions = true});
      NaiveStep undelayed = reference({.sgd = sgd});
      for (int step = 0; step < 5; ++step) {
        expected.step(train_packet(step, batch, at::kDouble));
        undelayed.step(train_packet(step, batch, at::kDouble));
        chain.step(train_packet(step, batch, at::kDouble));
        EXPECT_LT(largest_error(chain.tensors(), expected.newest()), 1e-9) << step;
      }
      EXPECT_GT(largest_error(chain.tensors(), undelayed.tensors()), 1e-6);
    }
}

// As in the pipeline: the next step's forwards begin before the last backward and the update of this one.
TEST(StageEndToEnd, ForwardsAheadOfAnUpdateChangeNoBitOfTwoVersions) {
  const StageOptions options{.micro_batches = 2, .two_versions = true};
  for (const bool recompute : {false, true}) {
    StageOptions mine = options;
    mine.recompute = recompute;
    Chain in_turn({1}, mine, "batch", at::kFloat), ahead({1}, mine, "batch", at::kFloat);
    constexpr int steps = 4;
    for (int step = 0; step < steps; ++step) {
      in_turn.step(train_packet(step, batch));
      const Packet packet = train_packet(step, batch);
      ahead.forward(packet, 0);
      if (step > 0) {
        ahead.backward(1);
        ahead.update();
      }
      ahead.forward(packet, 1);
      ahead.backward(0);
    }
    ahead.backward(1);
    ahead.update();
    const Tensors expected = in_turn.tensors();
    for (const auto& [name, tensor] : ahead.tensors())
      EXPECT_TRUE(at::equal(tensor, expected.at(name))) << name;
  }
}

}  // namespace
}  // namespace lamina
