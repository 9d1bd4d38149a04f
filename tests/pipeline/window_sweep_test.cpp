#include "pipeline/window_sweep.hpp"

#include <ATen/ATen.h>
#include <gmock/gmock.h>

namespace lamina {
namespace {

using ::testing::ElementsAre;

// Modules that double: a gradient tells by its size through how many it was pulled.
Pass doubling() {
  Pass pass{.input = at::ones({2}).requires_grad_(true)};
  pass.output = pass.input * 2;
  return pass;
}

at::Tensor grad(double value) {
  return at::full({2}, value);
}

// A sweep, and what it closed: modules, and the gradients at their outputs.
struct Sweep {
  explicit Sweep(std::int64_t window)
      : sweep(window, [this](WindowSweep::Closed closed) {
          parts.push_back(closed.part);
          grads.push_back(closed.grad_BCHW.defined() ? closed.grad_BCHW[0].item<double>() : 0);
          num_branch_grads.push_back(closed.branch_grads.size());
        }) {}
  std::vector<std::size_t> parts;
  std::vector<double> grads;
  std::vector<std::size_t> num_branch_grads;
  WindowSweep sweep;
};

TEST(WindowSweep, ClosesTheOldestOnceTheWindowIsFull) {
  Sweep s(3);
  for (std::size_t part = 0; part < 5; ++part) {
    s.sweep.open(part, doubling());
    s.sweep.next();
    EXPECT_EQ(s.parts.size(), part < 2 ? 0u : part - 1);
  }
  EXPECT_THAT(s.parts, ElementsAre(0, 1, 2));
  s.sweep.finish();
  EXPECT_THAT(s.parts, ElementsAre(0, 1, 2, 3, 4));
}

TEST(WindowSweep, AWindowsGradientIsPulledThroughEveryOpenModule) {
  Sweep s(3);
  for (std::size_t part = 0; part < 4; ++part) {
    s.sweep.open(part, doubling());
    s.sweep.pull(grad(std::pow(100, part)));
    s.sweep.next();
  }
  s.sweep.finish();
  // Module 0 is in the windows that end in 0, 1 and 2, 1 in those that end in 1, 2 and 3, and so on.
  EXPECT_THAT(s.grads, ElementsAre(1 + 2e2 + 4e4, 1e2 + 2e4 + 4e6, 1e4 + 2e6, 1e6));
}

TEST(WindowSweep, AnOwnGradientStaysWithItsModule) {
  Sweep s(2);
  for (std::size_t part = 0; part < 3; ++part) {
    s.sweep.open(part, doubling());
    s.sweep.add({.own_grad = grad(1), .window_grad = {}, .parameter_grads = {grad(5)}});
    s.sweep.add({.own_grad = {}, .window_grad = grad(10), .parameter_grads = {grad(6), grad(7)}});
    s.sweep.next();
  }
  s.sweep.finish();
  EXPECT_THAT(s.grads, ElementsAre(31, 31, 11));
  EXPECT_THAT(s.num_branch_grads, ElementsAre(3, 3, 3));
}

TEST(WindowSweep, ForeignModulesLetGradientsThroughAndAreNotClosed) {
  Sweep s(3);
  s.sweep.open(0, doubling());
  s.sweep.next();
  for (int foreign = 0; foreign < 2; ++foreign) {
    s.sweep.open_foreign(doubling());
    s.sweep.pull(grad(1));
    s.sweep.next();
  }
  s.sweep.finish();
  EXPECT_THAT(s.parts, ElementsAre(0));
  EXPECT_THAT(s.grads, ElementsAre(2 + 4));
}

TEST(WindowSweep, AModuleThatNoLossReachesHasNoGradient) {
  bool defined = true;
  WindowSweep sweep(1, [&](const WindowSweep::Closed& closed) { defined = closed.grad_BCHW.defined(); });
  sweep.open(0, doubling());
  sweep.next();
  EXPECT_FALSE(defined);
}

TEST(WindowSweep, LetsGoOfAPassWhenItIsClosed) {
  std::vector<c10::weak_intrusive_ptr<c10::TensorImpl>> outputs;
  std::vector<std::size_t> alive;  // passes, whenever one is being closed
  const auto num_alive = [&] {
    return static_cast<std::size_t>(
        std::count_if(outputs.begin(), outputs.end(), [](const auto& output) { return !output.expired(); }));
  };
  WindowSweep sweep(3, [&](WindowSweep::Closed) { alive.push_back(num_alive()); });
  for (std::size_t part = 0; part < 6; ++part) {
    Pass pass = doubling();
    outputs.emplace_back(pass.output.getIntrusivePtr());
    sweep.open(part, std::move(pass));
    sweep.pull(grad(1));
    sweep.next();
  }
  sweep.finish();
  EXPECT_THAT(alive, ElementsAre(3, 3, 3, 3, 2, 1));
  EXPECT_EQ(num_alive(), 0u);
}

}  // namespace
}  // namespace lamina
