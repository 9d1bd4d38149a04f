#include "source.hpp"

#include "lamina/core/error.hpp"

namespace lamina {
namespace {

// Every training batch has `batch` samples but the last of an epoch.
void check_batches(const RunPlan& plan, std::int64_t num_train) {
  const std::int64_t batch = plan.config.train.batch;
  check_batch_norm(plan, std::min(batch, num_train));
  check_batch_norm(plan, num_train % batch);
}

// The loader walks the same plan ahead of the stream.
std::function<std::optional<BatchRequest>()> requests(StreamPlan stream) {
  return [stream, ended = false]() mutable -> std::optional<BatchRequest> {
    while (!ended) {
      const StreamItem item = stream.next();
      if (item.has_batch()) return item.batch;
      ended = item.packet.kind == PacketKind::stop;
    }
    return std::nullopt;
  };
}

}  // namespace

Source::Source(const RunPlan& plan, DataSource data, StreamPlan stream, std::function<bool()> stop)
    : stream_(std::move(stream)), stop_requested_(std::move(stop)) {
  const LoaderOptions options{.seed = static_cast<std::uint64_t>(plan.config.train.seed),
                              .threads = static_cast<int>(plan.config.data.loader_threads),
                              .augment = plan.config.data.augment,
                              .keep_image = plan.needs_image(),
                              .format = plan.format()};
  loader_ = std::make_unique<Loader>(std::move(data), options, requests(stream_));
}

Source Source::training(const RunPlan& plan, StreamPlan::Start start, std::function<bool()> stop) {
  DataSource data = open_data(plan.config.data);
  check_batches(plan, data.train->size());
  StreamPlan stream(plan.config, data.train->size(), data.test->size(), start);
  return Source(plan, std::move(data), std::move(stream), std::move(stop));
}

Source Source::evaluation(const RunPlan& plan, std::int64_t step) {
  DataSource data = open_data(plan.config.data);
  StreamPlan stream = StreamPlan::evaluation_only(plan.config, data.test->size(), step);
  return Source(plan, std::move(data), std::move(stream), [] { return false; });
}

Packet Source::next() {
  StreamItem item = stop_requested_() ? stream_.stop_here() : stream_.next();
  if (item.has_batch()) {
    std::optional<Batch> batch = loader_->take();
    if (!batch) throw Error(ErrorKind::contract, "the loader ended before the stream");
    item.packet.x_BCHW = std::move(batch->x_BCHW);
    item.packet.y_B = std::move(batch->y_B);
    if (item.packet.kind == PacketKind::train) item.packet.image_BCHW = std::move(batch->image_BCHW);
  }
  return std::move(item.packet);
}

}  // namespace lamina
