#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "comm/bell.hpp"
#include "comm/group_sum.hpp"
#include "comm/lane_book.hpp"
#include "comm/lane_check.hpp"
#include "comm/nccl_cargo.hpp"
#include "comm/nccl_progress.hpp"
#include "comm/nccl_queue.hpp"
#include "comm/nccl_version.hpp"
#include "comm/ticket.hpp"
#include "lamina/comm/nccl.hpp"
#include "lamina/core/error.hpp"
#include "lamina/core/log.hpp"

namespace lamina {

namespace {

int nccl_version_code() {
  int code = 0;
  ncclGetVersion(&code);
  return code;
}

// Whoever asks after a transfer has it given to NCCL, if that has not happened yet.
class AskingSend final : public SendHandle {
 public:
  AskingSend(std::unique_ptr<SendHandle> handle, std::function<void()> ask)
      : handle_(std::move(handle)), ask_(std::move(ask)) {}
  bool done() const override {
    ask_();
    return handle_->done();
  }
  void wait(Seconds limit) override {
    ask_();
    handle_->wait(limit);
  }

 private:
  const std::unique_ptr<SendHandle> handle_;
  const std::function<void()> ask_;
};

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
  NcclTransport(std::unique_ptr<Transport>&& host, NcclOptions options)
      : options_(options),
        progress_(std::make_shared<NcclProgress>(bell_, options.device)),
        host_(std::move(host)),
        book_(bell_, host_->worker(), host_->num_workers(), options.device.type()) {}

  ~NcclTransport() override {
    progress_->post([this] { queue_.issue_sends(); });
    progress_.reset();  // before what its jobs use
  }

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
    receives_hold_nothing_back_ =
        !options_.sums && !options_.feeds_back &&
        std::none_of(lanes.begin(), lanes.end(), [this](const auto& lane) { return lane.from == worker(); });
  }

  std::unique_ptr<SendHandle> send(int lane, Message message) override {
    std::shared_ptr<Ticket> ticket = book_.begin_send(lane, message);
    const LaneSpec& spec = book_.spec(lane);
    const auto cargo = NcclCargo::of(message, spec, stream_);
    NcclTransfer transfer{.missing = [ticket] { return ticket->missing(); },
                          .after = {stream_.record_current()},
                          .before = [cargo] { cargo.upload(); },
                          .calls = {{NcclCall::Way::send, spec.to, cargo.bytes}},
                          .finished = [bell = bell_, ticket] { ticket->complete(bell->lock()); }};
    progress_->post([this, ticket, transfer = std::move(transfer)] { queue_.send(ticket, transfer); });
    return std::make_unique<AskingSend>(send_handle(ticket),
                                        ask([this, ticket] { queue_.ask_for_send(ticket); }));
  }

  std::unique_ptr<ReceiveHandle> receive(int lane) override {
    std::shared_ptr<Ticket> ticket = book_.begin_receive(lane);
    const LaneSpec& spec = book_.spec(lane);
    const auto cargo = NcclCargo::empty(spec, stream_);
    NcclTransfer transfer{
        .missing = [ticket] { return ticket->missing(); },
        .after = {stream_.record_current()},
        .calls = {{NcclCall::Way::receive, spec.from, cargo.bytes}},
        .behind = [cargo] { cargo.download(); },
        .finished = [bell = bell_, ticket, cargo] { ticket->complete(bell->lock(), cargo.message()); }};
    progress_->post([this, ticket, transfer = std::move(transfer)] {
      queue_.receive(ticket, transfer);
      if (receives_hold_nothing_back_) queue_.ask_for_receive(ticket);
    });
    return std::make_unique<AskingReceive>(receive_handle(ticket),
                                           ask([this, ticket] { queue_.ask_for_receive(ticket); }));
  }

  std::unique_ptr<SumHandle> sum(const std::vector<int>& group,
                                 const std::vector<at::Tensor>& values) override {
    check_sum(worker(), num_workers(), group, values);
    if (!options_.sums) refuse(fmt::format("worker {} sums up, but its options said no sums", worker()));
    bell_->require_running(bell_->lock());
    const auto own = static_cast<int>(std::find(group.begin(), group.end(), worker()) - group.begin());
    const auto chunks = std::make_shared<ChunkedSum>(values, own, static_cast<int>(group.size()));
    const auto ticket = std::make_shared<SumTicket>(bell_, worker(), group, num_sums_[group]++);
    progress_->post([this, group, chunks, ticket, now = stream_.record_current()] {
      queue_.issue_sends();
      issue_sum(group, chunks, ticket, now);
    });
    return sum_handle(ticket);
  }

  std::vector<std::string> all_gather(const std::string& text, Seconds limit) override {
    bell_->require_running(bell_->lock());
    progress_->post([this] { queue_.issue_sends(); });
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

  // A handle may outlive the transport.
  std::function<void()> ask(NcclProgress::Job job) const {
    return [job = std::move(job), weak = std::weak_ptr(progress_)] {
      if (const auto progress = weak.lock()) progress->post(job);
    };
  }

  // On the progress thread: both exchanges, with the addition between them, are in the stream at once.
  void issue_sum(const std::vector<int>& group, const std::shared_ptr<ChunkedSum>& sum,
                 const std::shared_ptr<SumTicket>& ticket, const StreamEventPtr& values_are_there) {
    NcclTransfer chunks{.missing = [ticket] { return ticket->missing(); },
                        .after = {values_are_there},
                        .behind = [sum] { sum->add_chunk(); }};
    NcclTransfer totals{.missing = chunks.missing, .finished = [bell = bell_, sum, ticket] {
                          std::vector<at::Tensor> sums = sum->sums();
                          ticket->complete(bell->lock(), std::move(sums));
                        }};
    for (int member = 0; member < sum->size(); ++member) {
      if (member == sum->own()) continue;
      const int peer = group[static_cast<std::size_t>(member)];
      chunks.calls.push_back({NcclCall::Way::send, peer, sum->chunk(member)});
      chunks.calls.push_back({NcclCall::Way::receive, peer, sum->from(member)});
      totals.calls.push_back({NcclCall::Way::send, peer, sum->total(sum->own())});
      totals.calls.push_back({NcclCall::Way::receive, peer, sum->total(member)});
    }
    progress_->issue({std::move(chunks)});
    progress_->issue({std::move(totals)});
  }

  const NcclOptions options_;
  const std::shared_ptr<Bell> bell_ = std::make_shared<Bell>();
  bool receives_hold_nothing_back_ = true;
  std::map<std::vector<int>, std::int64_t> num_sums_;  // begun, by group
  std::shared_ptr<NcclProgress> progress_;
  const std::unique_ptr<Transport> host_;  // taken once there is a device
  SideStream& stream_ = progress_->stream();
  NcclQueue queue_{*progress_};
  LaneBook book_;
};

}  // namespace

void require_nccl() {}

std::unique_ptr<Transport> make_nccl_transport(std::unique_ptr<Transport>&& host, NcclOptions options) {
  if (host->worker() == 0 && is_bad_nccl_version(nccl_version_code()))
    log_warning(fmt::format("NCCL {} is known to hang or to lose data; take another than 2.28.3 to 2.28.8",
                            nccl_version()));
  return std::make_unique<NcclTransport>(std::move(host), options);
}

std::string nccl_version() {
  return nccl_version_text(nccl_version_code());
}

}  // namespace lamina
