#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "lamina/comm/transport.hpp"
#include "lamina/pipeline/whereabouts.hpp"

namespace lamina {

/// A sum over a stage's replicas, of which a worker's board shows that it is waited for: by itself that is a
/// part of computing.
class ShownSum final : public SumHandle {
 public:
  ShownSum(std::unique_ptr<SumHandle> sum, std::shared_ptr<ActionBoard> board)
      : sum_(std::move(sum)), board_(std::move(board)) {}

  bool done() const override { return sum_->done(); }

  std::vector<at::Tensor> wait(Seconds limit) override {
    const Whereabouts before = board_->read().where;
    Whereabouts waiting = before;
    waiting.activity = Activity::replicas;
    board_->show(waiting);
    std::vector<at::Tensor> sums = sum_->wait(limit);
    board_->show(before);
    return sums;
  }

 private:
  const std::unique_ptr<SumHandle> sum_;
  const std::shared_ptr<ActionBoard> board_;
};

/// What begins such sums over a group of workers.
inline auto shown_sums(Transport& transport, std::vector<int> group, std::shared_ptr<ActionBoard> board) {
  return [&transport, group = std::move(group),
          board = std::move(board)](const std::vector<at::Tensor>& values) {
    return std::make_unique<ShownSum>(transport.sum(group, values), board);
  };
}

}  // namespace lamina
