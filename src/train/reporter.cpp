#include "lamina/train/reporter.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <system_error>
#include <tuple>
#include <utility>

#include "event_file.hpp"
#include "lamina/core/error.hpp"
#include "lamina/core/files.hpp"
#include "lamina/core/log.hpp"
#include "metrics_record.hpp"
#include "spike_watch.hpp"

namespace lamina {
namespace {

using Json = nlohmann::json;

constexpr double redraw_s = 0.1;  // on a terminal
constexpr double line_s = 10;     // into a pipe
constexpr double flush_s = 0.5;   // of what others read while it is written
constexpr int bar_width = 24;
constexpr double shown_wait_s = 0.05;  // for snapshots; less is noise

struct KeptLines {
  std::string text;
  std::optional<std::pair<double, double>> evaluation;  // accuracy and loss of the last one, if any
};

// Accuracy and loss that a line tells of, if it is an evaluation's.
std::optional<std::pair<double, double>> evaluation_of(const Json& record) {
  if (record.at("kind") != "eval" || !record.contains("test_accuracy")) return std::nullopt;
  const Json loss = record.value("test_loss", Json());  // null where it is not a number
  return std::pair(record.at("test_accuracy").get<double>(),
                   loss.is_number() ? loss.get<double>() : std::numeric_limits<double>::quiet_NaN());
}

// What a run that stopped at `start_step` had told: later lines are of steps that will be done again.
KeptLines kept_lines(const std::filesystem::path& path, std::int64_t start_step, bool start_evaluated) {
  if (start_step == 0 || !std::filesystem::exists(path)) return {};
  KeptLines kept;
  const std::string text = read_file(path);
  for (std::size_t begin = 0, end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
    const std::string line = text.substr(begin, end - begin + 1);
    const Json record = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (record.is_discarded()) continue;
    const std::int64_t step = record.at("step");
    const bool stays = start_evaluated && step == start_step && record.at("kind") == "eval";
    if (step >= start_step && !stays) continue;
    kept.text += line;
    if (const auto evaluation = evaluation_of(record)) kept.evaluation = evaluation;
  }
  return kept;
}

}  // namespace

std::string duration_text(double s) {
  const auto whole = static_cast<std::int64_t>(s);
  return whole >= 3600 ? fmt::format("{}h{:02}m", whole / 3600, whole / 60 % 60)
                       : fmt::format("{}m{:02}s", whole / 60, whole % 60);
}

Reporter::Reporter(ReporterOptions options) : options_(std::move(options)), figures_(options_.figures) {
  if (options_.spike_factor > 0) spikes_ = std::make_unique<SpikeWatch>(options_.spike_factor);
  if (options_.directory.empty()) return;
  const KeptLines kept = kept_lines(metrics_path(), options_.start_step, options_.start_evaluated);
  write_file_atomically(metrics_path(), kept.text);
  // A run that has nothing left to do ends with what it had.
  if (kept.evaluation) std::tie(test_accuracy_, test_loss_) = *kept.evaluation;
  metrics_.open(metrics_path(), std::ios::app);
  if (options_.tensorboard_every_steps > 0)
    events_ = std::make_unique<EventFile>(options_.directory / "tensorboard", options_.start_step);
}

Reporter::~Reporter() = default;

std::filesystem::path Reporter::metrics_path() const {
  return options_.directory / "metrics.jsonl";
}

void Reporter::on_packet(const Packet& packet) {
  errno = 0;
  if (packet.kind == PacketKind::train) on_train(packet);
  if (packet.kind == PacketKind::eval) on_eval(packet);
  after_train_ = packet.kind == PacketKind::train;
  if (packet.is_mark()) flush();  // a checkpoint is as good as the lines before it
  if (metrics_.is_open() && !metrics_)
    throw Error(ErrorKind::storage, fmt::format("cannot append to {}: {}", metrics_path().string(),
                                                std::system_category().message(errno ? errno : EIO)));
}

void Reporter::tell(const Json& record) {
  if (metrics_.is_open()) metrics_ << record.dump() << '\n';
  const bool is_eval = record.at("kind") == "eval";
  if (events_ && (is_eval || record.at("step").get<std::int64_t>() % options_.tensorboard_every_steps == 0))
    events_->add(record);
  if (is_eval || since_flushed_.elapsed_s() >= flush_s) flush();
  add_record(figures_, record);
  if (options_.show) options_.show(figures_);
}

void Reporter::flush() {
  since_flushed_.lap_s();
  if (metrics_.is_open()) metrics_.flush();
  if (events_) events_->flush();
}

void Reporter::on_train(const Packet& packet) {
  const double step_s = since_packet_.lap_s();
  ++seen_steps_;
  if (seen_steps_ > uncounted_steps) {
    if (after_train_) {
      train_s_ += step_s;
      train_images_ += packet.samples();
      ++train_steps_;
    }
    stage_s_.resize(packet.stages.size());
    for (std::size_t i = 0; i < stage_s_.size(); ++i) stage_s_[i] += packet.stages[i].compute_s;
    ++stage_steps_;
  }
  if (metrics_.is_open() || options_.show) tell(train_record(packet, step_s, figures_));
  show_step(packet, step_s);
  if (!spikes_) return;
  for (const std::string& line : spikes_->see(packet)) log_warning(line);
}

void Reporter::on_eval(const Packet& packet) {
  eval_images_ += packet.samples();
  const LossReport& classifier = packet.modules.back().losses.back();
  eval_correct_ += classifier.correct;
  eval_loss_ += classifier.loss * static_cast<double>(packet.samples());
  if (!packet.closes_evaluation) return;
  test_accuracy_ = static_cast<double>(eval_correct_) / static_cast<double>(eval_images_);
  test_loss_ = eval_loss_ / static_cast<double>(eval_images_);
  if (metrics_.is_open() || options_.show)
    tell(eval_record(packet, test_accuracy_, test_loss_, eval_images_));
  show_line(fmt::format("step {:>6}  test accuracy {:.2f} %  loss {:.4f}  ({} images)", packet.step,
                        100 * test_accuracy_, test_loss_, eval_images_));
  eval_images_ = eval_correct_ = 0;
  eval_loss_ = 0;
}

void Reporter::show_step(const Packet& packet, double step_s) {
  if (options_.display == Display::nothing) return;
  const bool bar = options_.display == Display::bar;
  const bool last = packet.step + 1 == packet.total_steps;
  if (seen_steps_ > 1 && !last && since_shown_.elapsed_s() < (bar ? redraw_s : line_s)) return;
  since_shown_.lap_s();
  std::vector<std::string> busy;
  std::vector<std::int64_t> ages;
  for (const StageReport& stage : packet.stages) {
    busy.push_back(fmt::format("{:.0f}", 100 * std::min(1.0, stage.compute_s / step_s)));
    ages.push_back(stage.age_steps);
  }
  const bool shadows = std::any_of(ages.begin(), ages.end(), [](std::int64_t age) { return age > 0; });
  const double mean_s = train_steps_ > 0 ? seconds_per_step() : step_s;
  const double left_s = mean_s * static_cast<double>(packet.total_steps - packet.step - 1);
  std::string line = fmt::format(
      "epoch {:>3}  step {:>6}/{}  {:>6.0f} images/s  loss {:.4f}  lr {:.4f}  left {}  busy % {}",
      packet.epoch + 1, packet.step + 1, packet.total_steps, static_cast<double>(packet.samples()) / step_s,
      packet.modules.back().losses.back().loss, packet.lr, duration_text(left_s), fmt::join(busy, " "));
  if (shadows) line += fmt::format("  age {}", fmt::join(ages, " "));
  double waited_s = 0;  // for snapshots, so far
  for (const StageFigures& stage : figures_.stages) waited_s += stage.snapshot_s;
  if (waited_s >= shown_wait_s) line += fmt::format(", waited {:.1f} s", waited_s);
  if (!bar) return show_line(line);
  const auto filled =
      static_cast<int>(bar_width * (packet.step + 1) / std::max<std::int64_t>(1, packet.total_steps));
  fmt::print("\r\x1b[K[{:=<{}}{:{}}] {}", "", filled, "", bar_width - filled, line);
  std::fflush(stdout);
}

// A line of its own; on a terminal it takes the bar's place, which is drawn anew below.
void Reporter::show_line(const std::string& line) {
  if (options_.display == Display::nothing) return;
  fmt::print("{}{}\n", options_.display == Display::bar ? "\r\x1b[K" : "", line);
  std::fflush(stdout);
}

std::vector<double> Reporter::stage_seconds() const {
  std::vector<double> mean = stage_s_;
  for (double& s : mean) s /= static_cast<double>(stage_steps_);
  return mean;
}

}  // namespace lamina
