#include "lamina/comm/exchange.hpp"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <future>
#include <optional>
#include <thread>
#include <utility>

#include "comm/asio.hpp"
#include "comm/exchange_link.hpp"
#include "comm/exchange_meeting.hpp"
#include "comm/lane_check.hpp"
#include "lamina/core/log.hpp"

namespace lamina {

namespace {

constexpr std::size_t shortest_token = 32;  // 16 bytes in hexadecimal

class TcpExchange final : public Exchange {
 public:
  TcpExchange(ExchangeOptions options, SnapshotReceived received, SnapshotsFailed failed)
      : options_(std::move(options)), meeting_(io_, options_) {
    events_.received = std::move(received);
    events_.failed = [failed = std::move(failed)](int peer, const Error& error) {
      call_guarded(failed, peer, error);
    };
    events_.closed = [this] { check_finished(); };
    thread_ = std::thread([this, label = log_label()] { run(label); });
  }

  ~TcpExchange() override {
    asio::post(io_, [this] {
      meeting_.stop();
      for (const auto& [peer, link] : links_) link->break_off();
    });
    work_.reset();
    thread_.join();
  }

  std::string address() const override { return meeting_.address(); }

  void connect(const std::vector<ExchangePeer>& peers, Seconds limit) override {
    if (is_connected_) refuse(fmt::format("worker {} connects its exchange twice", options_.worker));
    is_connected_ = true;
    for (const ExchangePeer& peer : peers) {
      const auto link = std::make_shared<ExchangeLink>(io_, options_, peer, events_);
      if (peer.worker == options_.worker || !links_.emplace(peer.worker, link).second) {
        refuse(
            fmt::format("worker {} exchanges snapshots with other workers, each named once, found worker {}",
                        options_.worker, peer.worker));
      }
    }
    std::promise<void> met;
    std::future<void> all_met = met.get_future();
    asio::post(io_, [this, limit, met = std::move(met)]() mutable {
      meeting_.begin(links_, limit, std::move(met));
    });
    all_met.get();
  }

  void send(int to_worker, std::shared_ptr<const Snapshot> snapshot) override {
    const auto link = links_.find(to_worker);
    if (link == links_.end()) {
      refuse(fmt::format("worker {} sends a snapshot to worker {}, to which it was not connected",
                         options_.worker, to_worker));
    }
    link->second->send(std::move(snapshot));
  }

  void finish(Seconds limit) override {
    std::promise<void> finished;
    std::future<void> all_closed = finished.get_future();
    asio::post(io_, [this, finished = std::move(finished)]() mutable {
      finished_ = std::move(finished);
      for (const auto& [peer, link] : links_) link->finish();
      check_finished();
    });
    if (all_closed.wait_for(for_a_wait(limit)) == std::future_status::ready) return;
    asio::post(io_, [this, limit] { break_off_rest(limit); });
    all_closed.get();
  }

  std::int64_t bytes_sent() const override { return events_.bytes_sent; }
  std::int64_t bytes_received() const override { return events_.bytes_received; }

 private:
  static void call_guarded(const SnapshotsFailed& failed, int peer, const Error& error) {
    try {
      failed(peer, error);
    } catch (const std::exception& second) {
      log_error(fmt::format("{}; and while that was being told: {}", error.what(), second.what()));
    }
  }

  void run(const std::string& label) {
    set_log_label(label);
    while (true) {
      try {
        io_.run();
        return;
      } catch (const std::exception& error) {
        events_.failed(options_.worker,
                       Error(ErrorKind::contract, fmt::format("worker {}'s exchange of snapshots: {}",
                                                              options_.worker, as_error(error).what())));
      }
    }
  }

  void check_finished() {
    const bool any_open =
        std::any_of(links_.begin(), links_.end(), [](const auto& entry) { return entry.second->is_open(); });
    if (!finished_ || any_open) return;
    finished_->set_value();
    finished_.reset();
  }

  void break_off_rest(Seconds limit) {
    std::vector<int> silent;
    for (const auto& [peer, link] : links_) {
      if (!link->is_open()) continue;
      silent.push_back(peer);
      link->break_off();
    }
    if (silent.empty()) return;
    log_warning(fmt::format("worker {} waited {} s to part from the workers {}, and hung up", options_.worker,
                            limit.count(), fmt::join(silent, ", ")));
  }

  // The io thread's handlers refer to everything else, so the context goes last.
  asio::io_context io_{1};
  const ExchangeOptions options_;
  ExchangeEvents events_;
  ExchangeMeeting meeting_;
  ExchangeLinks links_;  // changed by connect() alone, before the io thread hears of it
  std::optional<std::promise<void>> finished_;
  bool is_connected_ = false;
  asio::executor_work_guard<asio::io_context::executor_type> work_ = asio::make_work_guard(io_);
  std::thread thread_;
};

}  // namespace

std::unique_ptr<Exchange> make_exchange(ExchangeOptions options, SnapshotReceived received,
                                        SnapshotsFailed failed) {
  if (options.token.size() < shortest_token || options.depth == 0) {
    refuse(fmt::format(
        "an exchange needs a token of at least {} digits and a depth of at least 1, found {} and {}",
        shortest_token, options.token.size(), options.depth));
  }
  return std::make_unique<TcpExchange>(std::move(options), std::move(received), std::move(failed));
}

}  // namespace lamina
