#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <utility>

#include "comm/bell.hpp"
#include "comm/lane_book.hpp"
#include "comm/message_frame.hpp"
#include "comm/nccl_progress.hpp"
#include "comm/nccl_version.hpp"
#include "comm/ticket.hpp"
#include "lamina/comm/nccl.hpp"
#include "lamina/core/error.hpp"
#include "lamina/core/log.hpp"

namespace lamina {

namespace {

constexpr bool non_blocking = true;

int nccl_version_code() {
  int code = 0;
  ncclGetVersion(&code);
  return code;
}

// A message as NCCL carries it: a receive must know its counts, so all have the sizes of the lane.
struct Cargo {
  at::Tensor frame_on_host;
  at::Tensor frame;
  std::vector<at::Tensor> tensors;
};

std::vector<NcclCall> calls(NcclCall::Way way, int peer, const Cargo& cargo) {
  std::vector<NcclCall> all{{way, peer, cargo.frame}};
  for (const at::Tensor& tensor : cargo.tensors)
    if (tensor.numel() > 0) all.push_back({way, peer, tensor});
  return all;
}

Cargo with_empty_frame(const LaneSpec& spec, const SideStream& stream) {
  const auto num_bytes = static_cast<std::int64_t>(frame_bytes(spec.tensors.size(), spec.header_capacity));
  return {.frame_on_host = stream.empty_on_host(num_bytes),
          .frame = at::empty({num_bytes}, at::dtype(at::kByte).device(stream.device())),
          .tensors = {}};
}

at::Tensor empty(const LaneTensor& spec, at::Device device) {
  return at::empty(spec.sizes, at::dtype(spec.dtype).device(device), spec.format);
}

at::Tensor padded(const at::Tensor& tensor, const LaneTensor& spec) {
  if (tensor.size(0) == spec.sizes[0]) return tensor;
  at::Tensor whole = empty(spec, tensor.device());
  whole.narrow(0, 0, tensor.size(0)).copy_(tensor);
  return whole;
}

Cargo load(const Message& message, const LaneSpec& spec, const SideStream& stream) {
  Cargo cargo = with_empty_frame(spec, stream);
  const std::string frame = pack_frame(message);
  std::memcpy(cargo.frame_on_host.mutable_data_ptr(), frame.data(), frame.size());
  for (std::size_t i = 0; i < spec.tensors.size(); ++i)
    cargo.tensors.push_back(padded(message.tensors[i], spec.tensors[i]));
  return cargo;
}

Cargo room_for(const LaneSpec& spec, const SideStream& stream) {
  Cargo cargo = with_empty_frame(spec, stream);
  for (const LaneTensor& tensor : spec.tensors) cargo.tensors.push_back(empty(tensor, stream.device()));
  return cargo;
}

Message unload(const Cargo& cargo) {
  return unpack_frame({static_cast<const char*>(cargo.frame_on_host.const_data_ptr()),
                       static_cast<std::size_t>(cargo.frame_on_host.numel())},
                      cargo.tensors);
}

// Asking for a receive gives it to NCCL, if that has not happened yet.
class AskingReceive final : public ReceiveHandle {
 public:
  AskingReceive(std::unique_ptr<ReceiveHandle> handle, std::function<void()> ask)
      : handle_(std::move(handle)), ask_(std::move(ask)) {}
  bool done() const override {
    ask_();
    return handle_->done();
  }
  Message wait(Seconds limit) override {
    ask_();
    return handle_->wait(limit);
  }

 private:
  const std::unique_ptr<ReceiveHandle> handle_;
  const std::function<void()> ask_;
};

class NcclTransport final : public Transport {
 public:
  NcclTransport(std::unique_ptr<Transport> host, NcclOptions options)
      : options_(options),
        host_(std::move(host)),
        progress_(std::make_shared<NcclProgress>(bell_, options.device)),
        book_(bell_, host_->worker(), host_->num_workers(), options.device.type()) {}

  int worker() const override { return host_->worker(); }
  int num_workers() const override { return host_->num_workers(); }

  void open(const std::vector<LaneSpec>& lanes) override {
    book_.open(lanes);
    host_->open({});
    const std::vector<std::string> texts = host_->all_gather(book_.text(), options_.open_limit);
    for (int other = 0; other < num_workers(); ++other)
      book_.require_same(other, texts[static_cast<std::size_t>(other)]);
    connect();
    for (std::size_t lane = 0; lane < lanes.size(); ++lane) meet_on(static_cast<int>(lane));
    sends_ = std::any_of(lanes.begin(), lanes.end(), [&](const auto& lane) { return lane.from == worker(); });
  }

  std::unique_ptr<SendHandle> send(int lane, Message message) override {
    std::shared_ptr<Ticket> ticket = book_.begin_send(lane, message);
    const LaneSpec& spec = book_.spec(lane);
    const Cargo cargo = load(message, spec, stream_);
    progress_->post([this, transfer = NcclTransfer{
                               .missing = [ticket] { return ticket->missing(); },
                               .after = {stream_.record_current()},
                               .before = [cargo] { cargo.frame.copy_(cargo.frame_on_host, non_blocking); },
                               .calls = calls(NcclCall::Way::send, spec.to, cargo),
                               .finished = [bell = bell_, ticket] { ticket->complete(bell->lock()); }}] {
      issue_with_posted(transfer);
    });
    return send_handle(std::move(ticket));
  }

  std::unique_ptr<ReceiveHandle> receive(int lane) override {
    std::shared_ptr<Ticket> ticket = book_.begin_receive(lane);
    const LaneSpec& spec = book_.spec(lane);
    const Cargo cargo = room_for(spec, stream_);
    progress_->post(
        [this, lane,
         transfer = NcclTransfer{
             .missing = [ticket] { return ticket->missing(); },
             .after = {stream_.record_current()},
             .calls = calls(NcclCall::Way::receive, spec.from, cargo),
             .behind = [cargo] { cargo.frame_on_host.copy_(cargo.frame, non_blocking); },
             .finished = [bell = bell_, ticket, cargo] { ticket->complete(bell->lock(), unload(cargo)); }}] {
          posted_.emplace(lane, transfer);
          if (!sends_) issue_posted(lane);
        });
    // A handle may outlive the transport.
    return std::make_unique<AskingReceive>(receive_handle(std::move(ticket)),
                                           [this, lane, weak = std::weak_ptr(progress_)] {
                                             if (const auto progress = weak.lock())
                                               progress->post([this, lane] { issue_posted(lane); });
                                           });
  }

  std::vector<std::string> all_gather(const std::string& text, Seconds limit) override {
    bell_->require_running(bell_->lock());
    return host_->all_gather(text, limit);
  }

  void abort(const std::string& reason, int exit_code) noexcept override {
    bell_->abort(reason);
    progress_->abort();
    host_->abort(reason, exit_code);
  }

 private:
  // Runs `job` on the progress thread and waits for it, and for what it issues.
  void perform(const std::string& missing, const std::function<void(std::function<void()> finished)>& job) {
    const auto done = std::make_shared<bool>(false);
    progress_->post([job, done, bell = bell_] {
      job([done, bell] {
        const Bell::Lock held = bell->lock();
        *done = true;
        bell->ring();
      });
    });
    Bell::Lock held = bell_->lock();
    if (!bell_->wait(held, options_.open_limit, [&] { return *done; }))
      throw Error(ErrorKind::timeout, fmt::format("worker {} waited {} s, but {}", worker(),
                                                  options_.open_limit.count(), missing));
  }

  void connect() {
    const auto id = std::make_shared<std::string>();
    if (worker() == 0) {
      perform("NCCL has made no id", [this, id](const auto& finished) {
        *id = progress_->make_id();
        finished();
      });
    }
    const std::string agreed = host_->all_gather(*id, options_.open_limit).front();
    perform(fmt::format("not all of {} workers have connected over NCCL", num_workers()),
            [this, agreed](const auto& finished) {
              progress_->connect(agreed, num_workers(), worker());
              finished();
            });
  }

  // NCCL connects an edge at its first use, which keeps both ends until the other is there. So each is used
  // once, in the lanes' order.
  void meet_on(int lane) {
    const LaneSpec& spec = book_.spec(lane);
    if (worker() != spec.from && worker() != spec.to) return;
    const bool sends = worker() == spec.from;
    const int peer = sends ? spec.to : spec.from;
    const at::Tensor byte = at::zeros({1}, at::dtype(at::kByte).device(options_.device));
    perform(fmt::format("worker {} has not come to lane {}", peer, lane),
            [&progress = *progress_, now = stream_.record_current(), sends, peer, lane, byte](auto finished) {
              progress.issue(
                  {{.missing = [=] { return fmt::format("worker {} has not come to lane {}", peer, lane); },
                    .after = {now},
                    .calls = {{sends ? NcclCall::Way::send : NcclCall::Way::receive, peer, byte}},
                    .finished = finished}});
            });
  }

  // On the progress thread, as everything that sees posted_.
  void issue_posted(int lane) {
    const auto posted = posted_.find(lane);
    if (posted == posted_.end()) return;
    NcclTransfer transfer = std::move(posted->second);
    posted_.erase(posted);
    progress_->issue({std::move(transfer)});
  }

  void issue_with_posted(NcclTransfer transfer) {
    NcclGroup group{std::move(transfer)};
    for (auto& [lane, posted] : std::exchange(posted_, {})) group.push_back(std::move(posted));
    progress_->issue(std::move(group));
  }

  const NcclOptions options_;
  const std::shared_ptr<Bell> bell_ = std::make_shared<Bell>();
  const std::unique_ptr<Transport> host_;
  std::map<int, NcclTransfer> posted_;  // by lane: receives that NCCL has not been given yet
  bool sends_ = false;                  // on any lane
  const std::shared_ptr<NcclProgress> progress_;
  SideStream& stream_ = progress_->stream();
  LaneBook book_;
};

}  // namespace

std::unique_ptr<Transport> make_nccl_transport(std::unique_ptr<Transport> host, NcclOptions options) {
  if (host->worker() == 0 && is_bad_nccl_version(nccl_version_code()))
    log_warning(fmt::format("NCCL {} is known to hang or to lose data; take another than 2.28.3 to 2.28.8",
                            nccl_version()));
  return std::make_unique<NcclTransport>(std::move(host), options);
}

std::string nccl_version() {
  return nccl_version_text(nccl_version_code());
}

}  // namespace lamina
