#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "comm/bell.hpp"
#include "lamina/comm/transport.hpp"

namespace lamina {

/// Checks a call of Transport::sum. @throws Error{contract}
void check_sum(int worker, int num_workers, const std::vector<int>& group,
               const std::vector<at::Tensor>& values);

/// One member's sum: its handle waits on it, the backend completes it.
///
/// Threads  all state is guarded by the bell.
class SumTicket {
 public:
  /// The `number`-th sum of `worker`, counted from 0.
  SumTicket(std::shared_ptr<Bell> bell, int worker, std::vector<int> group, std::int64_t number);

  /// What has not come to an end while it is pending.
  std::string missing() const;

  /// The backend's side.
  void complete(const Bell::Lock& held, std::vector<at::Tensor> sums);

  /// The handle's side.
  bool done() const;
  std::vector<at::Tensor> wait(Seconds limit);

 private:
  enum class State { pending, done, waited };

  const std::shared_ptr<Bell> bell_;
  const int worker_;
  const std::vector<int> group_;
  const std::int64_t number_;
  State state_ = State::pending;
  std::vector<at::Tensor> sums_;
};

std::unique_ptr<SumHandle> sum_handle(std::shared_ptr<SumTicket> ticket);

/// A member's values in one run of memory, of which every member adds up a chunk for all: what backends that
/// move bytes have in common. Between the two exchanges add_chunk() is called.
///
///   first exchange   chunk(m) goes to member m, and theirs of this member's chunk arrive in from(m)
///   second exchange  total(own) goes to every member m, and total(m) arrives from it
class ChunkedSum {
 public:
  /// `own` is this worker's place in a group of `size`.
  ChunkedSum(const std::vector<at::Tensor>& values, int own, int size);

  int own() const { return own_; }
  int size() const { return static_cast<int>(from_.size()); }

  const at::Tensor& chunk(int member) const { return chunks_[static_cast<std::size_t>(member)]; }
  const at::Tensor& from(int member) const { return from_[static_cast<std::size_t>(member)]; }
  const at::Tensor& total(int member) const { return totals_[static_cast<std::size_t>(member)]; }

  /// Adds up this member's chunk, in the group's order.
  void add_chunk();

  /// The sums, shaped as the values.
  std::vector<at::Tensor> sums() const;

 private:
  std::vector<at::Tensor> split(const at::Tensor& flat) const;

  const int own_;
  std::vector<std::vector<std::int64_t>> shapes_;
  std::vector<at::Tensor> from_;  // by member: its values of the own chunk; its own entry is chunk(own)
  at::Tensor total_;
  std::vector<at::Tensor> chunks_;
  std::vector<at::Tensor> totals_;
};

}  // namespace lamina
