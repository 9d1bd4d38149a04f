#include "comm/group_sum.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <functional>
#include <utility>

#include "comm/lane_check.hpp"
#include "lamina/core/error.hpp"

namespace lamina {

void check_sum(int worker, int num_workers, const std::vector<int>& group,
               const std::vector<at::Tensor>& values) {
  const bool rises = std::adjacent_find(group.begin(), group.end(), std::greater_equal<>()) == group.end();
  if (group.empty() || !rises || std::find(group.begin(), group.end(), worker) == group.end() ||
      group.front() < 0 || group.back() >= num_workers)
    refuse(fmt::format("sum: expected rising workers among 0 to {}, worker {} one of them, found [{}]",
                       num_workers - 1, worker, fmt::join(group, ", ")));
  if (values.empty()) refuse("sum: expected at least one tensor, found none");
  for (const at::Tensor& value : values)
    if (value.scalar_type() != values.front().scalar_type())
      refuse(fmt::format("sum: expected values of one type, found {} and {}",
                         c10::toString(values.front().scalar_type()), c10::toString(value.scalar_type())));
}

SumTicket::SumTicket(std::shared_ptr<Bell> bell, int worker, std::vector<int> group, std::int64_t number)
    : bell_(std::move(bell)), worker_(worker), group_(std::move(group)), number_(number) {}

std::string SumTicket::missing() const {
  return fmt::format("sum {} over the workers {} has not ended", number_, fmt::join(group_, ", "));
}

void SumTicket::complete(const Bell::Lock&, std::vector<at::Tensor> sums) {
  sums_ = std::move(sums);
  state_ = State::done;
  bell_->ring();
}

bool SumTicket::done() const {
  const Bell::Lock held = bell_->lock();
  return state_ != State::pending;
}

std::vector<at::Tensor> SumTicket::wait(Seconds limit) {
  Bell::Lock held = bell_->lock();
  if (!bell_->wait(held, limit, [this] { return state_ != State::pending; }))
    throw Error(ErrorKind::timeout, fmt::format("worker {} waited {} s for sum {} over the workers {}",
                                                worker_, limit.count(), number_, fmt::join(group_, ", ")));
  if (state_ == State::waited)
    refuse(fmt::format("sum {} is waited for a second time by worker {}", number_, worker_));
  state_ = State::waited;
  return std::move(sums_);
}

namespace {

// Where chunks begin is a multiple of so many values: what does not lie at multiples of 16 bytes NCCL moves
// byte by byte.
constexpr std::int64_t chunk_alignment = 64;

class TicketSum final : public SumHandle {
 public:
  explicit TicketSum(std::shared_ptr<SumTicket> ticket) : ticket_(std::move(ticket)) {}
  bool done() const override { return ticket_->done(); }
  std::vector<at::Tensor> wait(Seconds limit) override { return ticket_->wait(limit); }

 private:
  std::shared_ptr<SumTicket> ticket_;
};

}  // namespace

std::unique_ptr<SumHandle> sum_handle(std::shared_ptr<SumTicket> ticket) {
  return std::make_unique<TicketSum>(std::move(ticket));
}

ChunkedSum::ChunkedSum(const std::vector<at::Tensor>& values, int own, int size) : own_(own) {
  std::vector<at::Tensor> flat;
  for (const at::Tensor& value : values) {
    shapes_.push_back(value.sizes().vec());
    flat.push_back(value.detach().reshape(-1));
  }
  from_.resize(static_cast<std::size_t>(size));
  const at::Tensor joined = at::cat(flat);
  total_ = at::empty_like(joined);
  chunks_ = split(joined);
  totals_ = split(total_);
  for (int member = 0; member < size; ++member)
    from_[static_cast<std::size_t>(member)] = member == own ? chunk(own) : at::empty_like(chunk(own));
}

std::vector<at::Tensor> ChunkedSum::split(const at::Tensor& flat) const {
  std::vector<at::Tensor> parts;
  const std::int64_t num_values = flat.numel(), num_members = size();
  const auto start_of = [&](std::int64_t member) {
    if (member == num_members) return num_values;
    return num_values * member / num_members / chunk_alignment * chunk_alignment;
  };
  for (std::int64_t member = 0; member < num_members; ++member)
    parts.push_back(flat.slice(0, start_of(member), start_of(member + 1)));
  return parts;
}

void ChunkedSum::add_chunk() {
  const at::NoGradGuard no_grad;
  at::Tensor sum = total(own_);
  sum.copy_(from_.front());
  for (std::size_t member = 1; member < from_.size(); ++member) sum.add_(from_[member]);
}

std::vector<at::Tensor> ChunkedSum::sums() const {
  std::vector<at::Tensor> sums;
  std::int64_t start = 0;
  for (const std::vector<std::int64_t>& shape : shapes_) {
    const std::int64_t num_values = c10::multiply_integers(shape);
    sums.push_back(total_.slice(0, start, start + num_values).view(shape));
    start += num_values;
  }
  return sums;
}

}  // namespace lamina
