#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <vector>

#include "lamina/nn/module.hpp"

namespace lamina {

/// The open graphs of a step: the modules of the window that is being computed; docs/method.md, The step.
///
/// A module is opened with its forward; its own and its window's gradients are added; a window's gradient is
/// pulled back through all open modules; and the oldest is closed, which frees its graph, once the last
/// window that it is in has been pulled through.
class WindowSweep {
 public:
  /// An own module of the stage that has all its gradients.
  struct Closed {
    std::size_t part;
    Pass pass;
    at::Tensor grad_BCHW;  ///< at its output; undefined if no loss reached it
    std::vector<at::Tensor> branch_grads{};
  };
  using Close = std::function<void(Closed)>;

  WindowSweep(std::int64_t window, Close close) : window_(window), close_(std::move(close)) {}

  void open(std::size_t part, Pass pass) { modules_.push_back({part, std::move(pass), {}, {}, true}); }
  /// Another stage's module: gradients pass through and nothing is kept.
  void open_foreign(Pass pass) { modules_.push_back({0, std::move(pass), {}, {}, false}); }

  /// What a branch of the newest module said.
  void add(const BranchResult& result);
  /// A window's gradient at the newest module's output.
  void pull(at::Tensor grad_BCHW);
  /// The newest module has had all its branches.
  void next();
  /// Nothing follows.
  void finish();

 private:
  struct Open {
    std::size_t part;
    Pass pass;
    at::Tensor grad_BCHW;
    std::vector<at::Tensor> branch_grads;
    bool own;
  };
  void close_oldest();

  std::int64_t window_;
  Close close_;
  std::deque<Open> modules_;
};

}  // namespace lamina
