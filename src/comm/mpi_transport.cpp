#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <mpi.h>

#include <algorithm>
#include <functional>
#include <map>
#include <utility>

#include "comm/bell.hpp"
#include "comm/group_sum.hpp"
#include "comm/lane_book.hpp"
#include "comm/message_frame.hpp"
#include "comm/mpi_progress.hpp"
#include "comm/ticket.hpp"
#include "lamina/comm/mpi.hpp"
#include "lamina/core/error.hpp"

namespace lamina {

namespace {

constexpr Seconds open_limit(600);

struct Cargo {
  std::string frame;
  std::vector<at::Tensor> tensors;
};

struct Gather {
  std::string text;
  int text_bytes;
  std::vector<int> sizes;
  std::vector<int> starts{};
  std::string joined{};
  bool done = false;  // guarded by the bell
};

// Sums may overtake one another on their way, so each has tags of its own for a while.
constexpr int num_sums_apart = 4096;

struct Addition {
  Addition(const std::vector<at::Tensor>& values, const std::vector<int>& members, int own)
      : sum(values, own, static_cast<int>(members.size())), group(members) {}
  ChunkedSum sum;
  std::vector<int> group;
  int tag = 0;  // of the first exchange; the second has the next
  std::shared_ptr<SumTicket> ticket{};
};

class MpiTransport final : public Transport {
 public:
  MpiTransport() {
    // The progress thread adds too, but the cores are the workers'.
    progress_.post([] { at::set_num_threads(1); });
  }

  int worker() const override { return progress_.rank(); }
  int num_workers() const override { return progress_.size(); }

  void open(const std::vector<LaneSpec>& lanes) override {
    book_.open(lanes);
    first_sum_tag_ = static_cast<int>(lanes.size());
    const std::vector<std::string> texts = all_gather(book_.text(), open_limit);
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
    const auto addition = std::make_shared<Addition>(values, group, own);
    const std::int64_t number = num_sums_[group]++;
    addition->tag = first_sum_tag_ + 2 * static_cast<int>(number % num_sums_apart);
    addition->ticket = std::make_shared<SumTicket>(bell_, worker(), group, number);
    progress_.post([this, addition] { start_chunks(addition); });
    return sum_handle(addition->ticket);
  }

  std::vector<std::string> all_gather(const std::string& text, Seconds limit) override {
    const std::size_t size = static_cast<std::size_t>(num_workers());
    const auto gather = std::make_shared<Gather>(
        Gather{.text = text, .text_bytes = static_cast<int>(text.size()), .sizes = std::vector<int>(size)});
    Bell::Lock held = bell_->lock();
    bell_->require_running(held);
    progress_.post([this, gather] { start_gather(gather); });
    if (!bell_->wait(held, limit, [&] { return gather->done; })) {
      throw Error(ErrorKind::timeout, fmt::format("worker {} waited {} s to gather from {} workers", worker(),
                                                  limit.count(), num_workers()));
    }
    std::vector<std::string> texts;
    for (std::size_t i = 0; i < size; ++i) {
      texts.push_back(gather->joined.substr(static_cast<std::size_t>(gather->starts[i]),
                                            static_cast<std::size_t>(gather->sizes[i])));
    }
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

  void start_chunks(const std::shared_ptr<Addition>& addition) {
    const ChunkedSum& sum = addition->sum;
    exchange(
        *addition, addition->tag, [&](int member) { return sum.chunk(member); },
        [&](int member) { return sum.from(member); },
        [this, addition] {
          addition->sum.add_chunk();
          start_totals(addition);
        });
  }

  void start_totals(const std::shared_ptr<Addition>& addition) {
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
  void exchange(const Addition& addition, int tag, const std::function<at::Tensor(int)>& outgoing,
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

  void start_gather(const std::shared_ptr<Gather>& gather) {
    Transfer sizes{.kind = Transfer::Kind::collective,
                   .finished = [this, gather] { start_gather_texts(gather); }};
    check_mpi(MPI_Iallgather(&gather->text_bytes, 1, MPI_INT, gather->sizes.data(), 1, MPI_INT,
                             MPI_COMM_WORLD, &sizes.header),
              "MPI_Iallgather");
    progress_.watch(std::move(sizes));
  }

  void start_gather_texts(const std::shared_ptr<Gather>& gather) {
    int total = 0;
    for (const int size : gather->sizes) gather->starts.push_back(std::exchange(total, total + size));
    gather->joined.resize(static_cast<std::size_t>(total));
    Transfer texts{.kind = Transfer::Kind::collective, .finished = [bell = bell_, gather] {
                     const Bell::Lock held = bell->lock();
                     gather->done = true;
                     bell->ring();
                   }};
    check_mpi(
        MPI_Iallgatherv(gather->text.data(), gather->text_bytes, MPI_BYTE, gather->joined.data(),
                        gather->sizes.data(), gather->starts.data(), MPI_BYTE, MPI_COMM_WORLD, &texts.header),
        "MPI_Iallgatherv");
    progress_.watch(std::move(texts));
  }

  const std::shared_ptr<Bell> bell_ = std::make_shared<Bell>();
  MpiProgress progress_{bell_};
  LaneBook book_{bell_, progress_.rank(), progress_.size()};
  int first_sum_tag_ = 0;                              // behind the lanes'
  std::map<std::vector<int>, std::int64_t> num_sums_;  // begun, by group
};

}  // namespace

std::unique_ptr<Transport> make_mpi_transport() {
  return std::make_unique<MpiTransport>();
}

std::string mpi_version() {
  char text[MPI_MAX_LIBRARY_VERSION_STRING];
  int size = 0;
  MPI_Get_library_version(text, &size);
  const std::string version(text);  // the size may count the final zero
  return version.substr(0, version.find('\n'));
}

}  // namespace lamina
