#include "source.hpp"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>

#include "lamina/core/error.hpp"

namespace lamina {
namespace {

// Nothing may go without samples, which would have no gradient: no replica, and no micro-batch of one.
void check_pieces(const RunPlan& plan, std::int64_t samples) {
  const std::int64_t micro_batches = plan.schedule.micro_batches;
  const std::int64_t replicas = plan.groups.front().replicas;
  if (samples > 0 && micro_batches > 1 && samples < micro_batches * replicas)
    throw Error(
        ErrorKind::config,
        fmt::format("pipeline.micro_batches: expected at most as many as a batch has samples, found {} "
                    "on each of {} replica(s) for a batch of {}{}",
                    micro_batches, replicas, samples,
                    samples < plan.config.train.batch ? ", an epoch's last" : ""));
  for (const WorkerGroup& group : plan.groups)
    if (samples > 0 && samples < group.replicas)
      throw Error(
          ErrorKind::config,
          fmt::format("pipeline.replicas: expected at most as many as a batch has samples, found {} for a "
                      "batch of {}",
                      group.replicas, samples));
}

// Every training batch has `batch` samples but the last of an epoch.
void check_batches(const RunPlan& plan, std::int64_t num_train) {
  const std::int64_t batch = plan.config.train.batch;
  for (const std::int64_t samples : {std::min(batch, num_train), num_train % batch}) {
    check_pieces(plan, samples);
    check_batch_norm(plan, samples);
  }
}

BatchRequest share_of(const BatchRequest& batch, const Replica& replica) {
  const Share share = share_of(batch.count, replica);
  BatchRequest request = batch;
  request.first += share.first;
  request.count = share.count();
  return request;
}

std::uint64_t seed_of(const RunPlan& plan) {
  return static_cast<std::uint64_t>(plan.config.train.seed);
}

// The loader walks the same plan ahead of the stream.
std::function<std::optional<BatchRequest>()> requests(StreamPlan stream, const Replica& replica) {
  return [stream, replica, ended = false]() mutable -> std::optional<BatchRequest> {
    while (!ended) {
      const StreamItem item = stream.next();
      const BatchRequest request = share_of(item.batch, replica);
      if (item.has_batch() && request.count > 0) return request;
      ended = item.packet.kind == PacketKind::stop;
    }
    return std::nullopt;
  };
}

}  // namespace

Source::Source(const RunPlan& plan, Replica replica, DataSource data, StreamPlan stream, std::uint64_t seed,
               AskWish wish)
    : replica_(replica),
      image_(plan.data.shape),
      format_(plan.format()),
      device_(plan.device),
      stream_(std::move(stream)),
      wish_(std::move(wish)) {
  const LoaderOptions options{.seed = seed,
                              .threads = static_cast<int>(plan.config.data.loader_threads),
                              .augment = plan.config.data.augment,
                              .keep_image = plan.needs_image(),
                              .format = plan.format()};
  loader_ = std::make_unique<Loader>(std::move(data), options, requests(stream_, replica_));
}

Source Source::training(const RunPlan& plan, Replica replica, StreamPlan::Start start, AskWish wish) {
  DataSource data = open_data(plan.config.data);
  check_batches(plan, data.train->size());
  StreamPlan stream(plan.config, data.train->size(), data.test->size(), start);
  const std::uint64_t seed = seed_after_rollbacks(seed_of(plan), start.rollbacks);
  return Source(plan, replica, std::move(data), std::move(stream), seed, std::move(wish));
}

Source Source::evaluation(const RunPlan& plan, Replica replica, std::int64_t step) {
  DataSource data = open_data(plan.config.data);
  StreamPlan stream = StreamPlan::evaluation_only(plan.config, data.test->size(), step);
  return Source(plan, replica, std::move(data), std::move(stream), seed_of(plan),
                [](bool) { return Wish::none; });
}

StreamItem Source::next_item() {
  const Wish wish = wish_(stream_.closes_evaluation());
  if (wish == Wish::stop) return stream_.stop_here();
  if (wish == Wish::checkpoint) stream_.save_soon();
  return stream_.next();
}

Packet Source::next() {
  StreamItem item = next_item();
  if (!item.has_batch()) return std::move(item.packet);
  item.packet.batch = item.batch.count;
  if (share_of(item.batch, replica_).count == 0) {
    const at::TensorOptions options = at::TensorOptions(device_);
    item.packet.x_BCHW =
        at::empty({0, image_.channels, image_.height, image_.width}, options.dtype(at::kFloat), format_);
    item.packet.y_B = at::empty({0}, options.dtype(at::kLong));
  } else {
    std::optional<Batch> batch = loader_->take();
    if (!batch) throw Error(ErrorKind::contract, "the loader ended before the stream");
    item.packet.x_BCHW = batch->x_BCHW.to(device_);
    item.packet.y_B = batch->y_B.to(device_);
    if (item.packet.kind == PacketKind::train && batch->image_BCHW.defined())
      item.packet.image_BCHW = batch->image_BCHW.to(device_);
  }
  return std::move(item.packet);
}

}  // namespace lamina
