#include "comm/lane_book.hpp"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "comm/lane_check.hpp"

namespace lamina {

LaneBook::LaneBook(std::shared_ptr<Bell> bell, int worker, int num_workers, at::DeviceType device)
    : bell_(std::move(bell)), worker_(worker), num_workers_(num_workers), device_(device) {}

void LaneBook::open(const std::vector<LaneSpec>& lanes) {
  if (is_open_) refuse(fmt::format("worker {}: its lanes are already open", worker_));
  for (std::size_t i = 0; i < lanes.size(); ++i)
    check_spec(lanes[i], num_workers_, fmt::format("lane {}", i));
  is_open_ = true;
  for (const LaneSpec& spec : lanes) {
    text_ += fmt::format("lane {} {}\n", lanes_.size(), describe(spec));
    lanes_.emplace_back().spec = spec;
  }
}

void LaneBook::require_same(int other_worker, const std::string& theirs) const {
  if (theirs == text_) return;
  const auto first_difference = std::mismatch(text_.begin(), text_.end(), theirs.begin(), theirs.end()).first;
  const std::size_t line = std::string(text_.begin(), first_difference).rfind('\n') + 1;
  const auto line_of = [line](const std::string& text) {
    return line < text.size() ? text.substr(line, text.find('\n', line) - line) : "no further lane";
  };
  refuse(fmt::format("worker {} opens {}, but worker {} opens {}", worker_, line_of(text_), other_worker,
                     line_of(theirs)));
}

LaneBook::Lane& LaneBook::at_end(int lane, int LaneSpec::* end, const char* verb) {
  bell_->require_running(bell_->lock());
  if (lane < 0 || lane >= static_cast<int>(lanes_.size())) {
    refuse(fmt::format("worker {} {} lane {}, but {} lanes are open", worker_, verb, lane, lanes_.size()));
  }
  Lane& found = lanes_[static_cast<std::size_t>(lane)];
  if (found.spec.*end != worker_) {
    refuse(fmt::format("worker {} {} lane {}, which is of worker {}", worker_, verb, lane, found.spec.*end));
  }
  return found;
}

std::shared_ptr<Ticket> LaneBook::begin_send(int lane, Message& message) {
  Lane& to_send = at_end(lane, &LaneSpec::from, "sends on");
  check_message(message, to_send.spec, device_, fmt::format("lane {}", lane));
  while (!to_send.sends.empty() && to_send.sends.front()->done()) to_send.sends.pop_front();
  if (static_cast<int>(to_send.sends.size()) >= to_send.spec.buffers - 1) {
    refuse(fmt::format("worker {} sends on lane {} while {} sends are outstanding; with {} buffers {} may be",
                       worker_, lane, to_send.sends.size(), to_send.spec.buffers, to_send.spec.buffers - 1));
  }
  to_send.sends.push_back(
      std::make_shared<Ticket>(bell_, Ticket::Way::send, lane, to_send.spec, to_send.num_sent++));
  return to_send.sends.back();
}

std::shared_ptr<Ticket> LaneBook::begin_receive(int lane) {
  Lane& to_receive = at_end(lane, &LaneSpec::to, "receives on");
  if (to_receive.receive && !to_receive.receive->waited()) {
    refuse(fmt::format("worker {} receives on lane {}, but has not waited for its last receive there",
                       worker_, lane));
  }
  to_receive.receive =
      std::make_shared<Ticket>(bell_, Ticket::Way::receive, lane, to_receive.spec, to_receive.num_received++);
  return to_receive.receive;
}

}  // namespace lamina
