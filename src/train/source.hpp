#pragma once

#include <functional>
#include <memory>

#include "lamina/data/loader.hpp"
#include "lamina/train/run_plan.hpp"
#include "lamina/train/stream_plan.hpp"

namespace lamina {

/// What a replica of the first stage feeds: the stream plan's packets with its shares of their batches, made
/// ahead by the loader and put on the plan's device; the stop mark early if somebody asks for it.
class Source {
 public:
  /// Opens the data set. @throws Error{data}, Error{config} (a batch too small for batch norm).
  static Source training(const RunPlan& plan, Replica replica, StreamPlan::Start start,
                         std::function<bool()> stop_requested);
  /// One evaluation, at `step`.
  static Source evaluation(const RunPlan& plan, Replica replica, std::int64_t step);

  /// Waits for the loader. After the stop mark nothing more is to be asked for.
  Packet next();

 private:
  Source(const RunPlan& plan, Replica replica, DataSource data, StreamPlan stream,
         std::function<bool()> stop_requested);

  Replica replica_;
  FeatureShape image_;
  at::MemoryFormat format_;
  at::Device device_;
  StreamPlan stream_;
  std::function<bool()> stop_requested_;
  std::unique_ptr<Loader> loader_;
};

}  // namespace lamina
