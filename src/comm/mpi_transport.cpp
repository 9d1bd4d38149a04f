#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <mpi.h>

#include <algorithm>
#include <functional>
#include <map>
#include <utility>

#include "comm/bell.hpp"
#include "comm/gather_timeout.hpp"
#include "comm/group_sum.hpp"
#include "comm/lane_book.hpp"
#include "comm/message_frame.hpp"
#include "comm/mpi_gather.hpp"
#include "comm/mpi_progress.hpp"
#include "comm/ticket.hpp"
#include "lamina/comm/mpi.hpp"
#include "lamina/core/error.hpp"
#include "lamina/core/process.hpp"

namespace lamina {

namespace {

struct Cargo {
  std::string frame;
  std::vector<at::Tensor> tensors;
};

// Sums may overtake one another on their way, so each has tags of its own for a while.
constexpr int num_sums_apart = 4096;

struct ChunkedAddition {
  ChunkedAddition(const std::vector<at::Tensor>& values, const std::vector<int>& members, int own)
      : sum(values, own, static_cast<int>(members.size())), group(members) {}
  ChunkedSum sum;
  std::vector<int> group;
  int tag = 0;  // of the first exchange; the second has the next
  std::shared_ptr<SumTicket> ticket{};
};

class MpiTransport final : public Transport {
 public:
  explicit MpiTransport(Seconds start_limit) : start_limit_(start_limit) {
    // The progress thread adds too, but the cores are the workers'.
    progress_.post([] { at::set_num_threads(1); });
  }

  int worker() const override { return progress_.rank(); }
  int num_workers() const override { return progress_.size(); }

  void open(const std::vector<LaneSpec>& lanes) override {
    book_.open(lanes);
    first_sum_tag_ = static_cast<int>(lanes.size());
    const std::vector<std::string> texts = all_gather(book_.text(), start_limit_);
    for (int other = 0; other < num_workers(); ++other) {
      book_.require_same(other, texts[static_cast<std::size_t>(other)]);
    }
  }

  std::unique_ptr<SendHandle> send(int lane, Message message) override {
    std::shared_ptr<Ticket> ticket = book_.begin_send(lane, message);
    const auto outgoing = std::make_shared<const Cargo>(pack_frame(message), std::move(message.tensors));
    const int to = book_.spec(lane).to;
    progress_.post([this, lane, to, ticket, outgoing] { start_send(lane, to, ticket, outgoing); });
    return send_handle(std::move(ticket));
  }

  std::unique_ptr<ReceiveHandle> receive(int lane) override {
    std::shared_ptr<Ticket> ticket = book_.begin_receive(lane);
    const LaneSpec& spec = book_.spec(lane);
    const auto incoming = std::make_shared<Cargo>();
    incoming->frame.resize(frame_bytes(spec.tensors.size(), spec.header_capacity));
    for (const LaneTensor& tensor : spec.tensors) {
      incoming->tensors.push_back(at::empty(tensor.sizes, at::dtype(tensor.dtype), tensor.format));
    }
    progress_.post(
        [this, lane, from = spec.from, ticket, incoming] { start_receive(lane, from, ticket, incoming); });
    return receive_handle(std::move(ticket));
  }

  std::unique_ptr<SumHandle> sum(const std::vector<int>& group,
                                 const std::vector<at::Tensor>& values) override {
    check_sum(worker(), num_workers(), group, values);
    {
      const Bell::Lock held = bell_->lock();
      bell_->require_running(held);
    }
    const auto own = static_cast<int>(std::find(group.begin(), group.end(), worker()) - group.begin());
    const auto addition = std::make_shared<ChunkedAddition>(values, group, own);
    const std::int64_t number = num_sums_[group]++;
    addition->tag = first_sum_tag_ + 2 * static_cast<int>(number % num_sums_apart);
    addition->ticket = std::make_shared<SumTicket>(bell_, worker(), group, number);
    progress_.post([this, addition] { start_chunks(addition); });
    return sum_handle(addition->ticket);
  }

  std::vector<std::string> all_gather(const std::string& text, Seconds limit) override {
    Bell::Lock held = bell_->lock();
    bell_->require_running(held);
    const std::shared_ptr<MpiGather> gather = start_gather(text);
    if (!bell_->wait(held, limit, [&] { return gather->done(held); }))
      throw gather_timeout(worker(), limit, missing(*gather, held), num_workers());
    std::vector<std::string> texts;
    for (const auto& each : gather->texts(held)) texts.push_back(*each);
    return texts;
  }

  void abort(const std::string& reason, int exit_code) noexcept override {
    bell_->abort(reason);
    progress_.abort(exit_code);
  }

 private:
  // The start_ functions run on the progress thread. The header is sent synchronously: it completes only when
  // a receive has matched it, however small it is, which is what the flow rule counts.
  void start_send(int lane, int to, const std::shared_ptr<Ticket>& ticket,
                  const std::shared_ptr<const Cargo>& outgoing) {
    Transfer transfer{.kind = Transfer::Kind::send,
                      .matched = [bell = bell_, ticket] { ticket->complete(bell->lock()); },
                      .finished = [outgoing] {}};
    check_mpi(MPI_Issend(outgoing->frame.data(), static_cast<int>(outgoing->frame.size()), MPI_BYTE, to, lane,
                         MPI_COMM_WORLD, &transfer.header),
              "MPI_Issend");
    for (const at::Tensor& tensor : outgoing->tensors) {
      check_mpi(MPI_Isend(tensor.const_data_ptr(), static_cast<int>(tensor.nbytes()), MPI_BYTE, to, lane,
                          MPI_COMM_WORLD, &transfer.body.emplace_back()),
                "MPI_Isend");
    }
    progress_.watch(std::move(transfer));
  }

  void start_receive(int lane, int from, const std::shared_ptr<Ticket>& ticket,
                     const std::shared_ptr<Cargo>& incoming) {
    Transfer transfer{.kind = Transfer::Kind::receive, .finished = [bell = bell_, ticket, incoming] {
                        Message message = unpack_frame(incoming->frame, incoming->tensors);
                        ticket->complete(bell->lock(), std::move(message));
                      }};
    check_mpi(MPI_Irecv(incoming->frame.data(), static_cast<int>(incoming->frame.size()), MPI_BYTE, from,
                        lane, MPI_COMM_WORLD, &transfer.header),
              "MPI_Irecv");
    for (const at::Tensor& tensor : incoming->tensors) {
      check_mpi(MPI_Irecv(tensor.mutable_data_ptr(), static_cast<int>(tensor.nbytes()), MPI_BYTE, from, lane,
                          MPI_COMM_WORLD, &transfer.body.emplace_back()),
                "MPI_Irecv");
    }
    progress_.watch(std::move(transfer));
  }

  void start_chunks(const std::shared_ptr<ChunkedAddition>& addition) {
    const ChunkedSum& sum = addition->sum;
    exchange(
        *addition, addition->tag, [&](int member) { return sum.chunk(member); },
        [&](int member) { return sum.from(member); },
        [this, addition] {
          addition->sum.add_chunk();
          start_totals(addition);
        });
  }

  void start_totals(const std::shared_ptr<ChunkedAddition>& addition) {
    const ChunkedSum& sum = addition->sum;
    exchange(
        *addition, addition->tag + 1, [&](int) { return sum.total(sum.own()); },
        [&](int member) { return sum.total(member); },
        [bell = bell_, addition] {
          std::vector<at::Tensor> sums = addition->sum.sums();
          addition->ticket->complete(bell->lock(), std::move(sums));
        });
  }

  // Something to every other member, and something from each.
  void exchange(const ChunkedAddition& addition, int tag, const std::function<at::Tensor(int)>& outgoing,
                const std::function<at::Tensor(int)>& incoming, std::function<void()> finished) {
    Transfer transfer{.kind = Transfer::Kind::collective, .finished = std::move(finished)};
    for (int member = 0; member < addition.sum.size(); ++member) {
      if (member == addition.sum.own()) continue;
      const int peer = addition.group[static_cast<std::size_t>(member)];
      const at::Tensor in = incoming(member), out = outgoing(member);
      check_mpi(MPI_Irecv(in.mutable_data_ptr(), static_cast<int>(in.nbytes()), MPI_BYTE, peer, tag,
                          MPI_COMM_WORLD, &transfer.body.emplace_back()),
                "MPI_Irecv");
      check_mpi(MPI_Isend(out.const_data_ptr(), static_cast<int>(out.nbytes()), MPI_BYTE, peer, tag,
                          MPI_COMM_WORLD, &transfer.body.emplace_back()),
                "MPI_Isend");
    }
    progress_.watch(std::move(transfer));
  }

  std::shared_ptr<MpiGather> start_gather(const std::string& text) {
    const auto gather = std::make_shared<MpiGather>(bell_, progress_, num_gathers_++, text);
    progress_.post([gather] { gather->start(); });
    return gather;
  }

  // Whose text a gather has not got. Who was heard of is known by more than its number.
  std::vector<std::string> missing(const MpiGather& gather, const Bell::Lock& held) const {
    std::vector<std::string> names;
    for (int peer = 0; peer < num_workers(); ++peer) {
      const auto at = static_cast<std::size_t>(peer);
      if (gather.texts(held)[at]) continue;
      names.push_back(
          fmt::format("worker {} ({})", peer,
                      introductions_->texts(held)[at].value_or("of which nothing has been heard")));
    }
    return names;
  }

  const Seconds start_limit_;
  const std::shared_ptr<Bell> bell_ = std::make_shared<Bell>();
  MpiProgress progress_{bell_, start_limit_};
  LaneBook book_{bell_, progress_.rank(), progress_.size()};
  int first_sum_tag_ = 0;                              // behind the lanes'
  std::map<std::vector<int>, std::int64_t> num_sums_;  // begun, by group
  int num_gathers_ = 0;                                // begun
  // The progress threads see to it, whatever keeps the workers.
  const std::shared_ptr<MpiGather> introductions_ =
      start_gather(fmt::format("pid {} on {}", process_id(), host_name()));
};

}  // namespace

std::unique_ptr<Transport> make_mpi_transport(Seconds start_limit) {
  return std::make_unique<MpiTransport>(start_limit);
}

std::string mpi_version() {
  char text[MPI_MAX_LIBRARY_VERSION_STRING];
  int size = 0;
  MPI_Get_library_version(text, &size);
  const std::string version(text);  // the size may count the final zero
  return version.substr(0, version.find('\n'));
}

}  // namespace lamina
