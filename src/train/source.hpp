#pragma once

#include <functional>
#include <memory>

#include "lamina/data/loader.hpp"
#include "lamina/train/run_plan.hpp"
#include "lamina/train/stream_plan.hpp"

namespace lamina {

/// What a replica of the first stage feeds: the stream plan's packets with its shares of their batches, made
/// ahead by the loader and put on the plan's device; and marks before their time if somebody asks for them.
class Source {
 public:
  /// Called before every packet, with whether that is an evaluation's last.
  using AskWish = std::function<Wish(bool closes_evaluation)>;

  /// Opens the data set. @throws Error{data}, Error{config} (a batch too small for batch norm).
  static Source training(const RunPlan& plan, Replica replica, StreamPlan::Start start, AskWish wish);
  /// One evaluation, at `step`.
  static Source evaluation(const RunPlan& plan, Replica replica, std::int64_t step);

  /// Waits for the loader. After the stop mark nothing more is to be asked for.
  Packet next();

  /// As Loader::num_broken().
  std::int64_t num_broken() const { return loader_->num_broken(); }

 private:
  Source(const RunPlan& plan, Replica replica, DataSource data, StreamPlan stream, std::uint64_t seed,
         AskWish wish);
  StreamItem next_item();

  Replica replica_;
  FeatureShape image_;
  at::MemoryFormat format_;
  at::Device device_;
  StreamPlan stream_;
  AskWish wish_;
  std::unique_ptr<Loader> loader_;
};

}  // namespace lamina
