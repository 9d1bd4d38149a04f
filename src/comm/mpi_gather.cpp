#include "comm/mpi_gather.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "lamina/core/error.hpp"

namespace lamina {

namespace {

// The largest tag that every MPI has. Gathers count down from it, lanes and sums up from 0. One that timed
// out leaves receives behind, so the next has another tag.
constexpr int last_tag = 32767;
constexpr int num_gathers_apart = 512;

}  // namespace

MpiGather::MpiGather(std::shared_ptr<Bell> bell, MpiProgress& progress, int number, std::string text)
    : bell_(std::move(bell)),
      progress_(progress),
      tag_(last_tag - number % num_gathers_apart),
      text_(std::move(text)),
      text_bytes_(static_cast<int>(text_.size())),
      sizes_(static_cast<std::size_t>(progress.size())),
      texts_(sizes_.size()) {
  texts_[static_cast<std::size_t>(progress.rank())] = text_;
}

bool MpiGather::done(const Bell::Lock&) const {
  return std::all_of(texts_.begin(), texts_.end(), [](const auto& text) { return text.has_value(); });
}

void MpiGather::start() {
  for (int peer = 0; peer < progress_.size(); ++peer) {
    if (peer == progress_.rank()) continue;
    receive_from(peer);
    send_to(peer);
  }
}

void MpiGather::send_to(int peer) {
  Transfer transfer{.kind = Transfer::Kind::send, .finished = [self = shared_from_this()] {}};
  check_mpi(MPI_Isend(&text_bytes_, 1, MPI_INT, peer, tag_, MPI_COMM_WORLD, &transfer.header), "MPI_Isend");
  check_mpi(MPI_Isend(text_.data(), text_bytes_, MPI_BYTE, peer, tag_, MPI_COMM_WORLD,
                      &transfer.body.emplace_back()),
            "MPI_Isend");
  progress_.watch(std::move(transfer));
}

void MpiGather::receive_from(int peer) {
  Transfer transfer{.kind = Transfer::Kind::receive,
                    .finished = [self = shared_from_this(), peer] { self->receive_text_from(peer); }};
  check_mpi(MPI_Irecv(&sizes_[static_cast<std::size_t>(peer)], 1, MPI_INT, peer, tag_, MPI_COMM_WORLD,
                      &transfer.header),
            "MPI_Irecv");
  progress_.watch(std::move(transfer));
}

void MpiGather::receive_text_from(int peer) {
  const int num_bytes = sizes_[static_cast<std::size_t>(peer)];
  if (num_bytes < 0)
    throw Error(ErrorKind::contract,
                fmt::format("worker {} gathers: expected the length of worker {}'s text, found {}",
                            progress_.rank(), peer, num_bytes));
  const auto text = std::make_shared<std::string>(static_cast<std::size_t>(num_bytes), '\0');
  Transfer transfer{.kind = Transfer::Kind::receive, .finished = [self = shared_from_this(), peer, text] {
                      self->take(peer, std::move(*text));
                    }};
  check_mpi(MPI_Irecv(text->data(), static_cast<int>(text->size()), MPI_BYTE, peer, tag_, MPI_COMM_WORLD,
                      &transfer.header),
            "MPI_Irecv");
  progress_.watch(std::move(transfer));
}

void MpiGather::take(int peer, std::string text) {
  const Bell::Lock held = bell_->lock();
  texts_[static_cast<std::size_t>(peer)] = std::move(text);
  bell_->ring();
}

}  // namespace lamina
