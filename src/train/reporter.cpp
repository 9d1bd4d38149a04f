#include "lamina/train/reporter.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <limits>
#include <nlohmann/json.hpp>

#include "lamina/core/error.hpp"
#include "lamina/core/files.hpp"
#include "lamina/core/process.hpp"

namespace lamina {
namespace {

using Json = nlohmann::json;

constexpr std::int64_t warmup_steps = 3;  // allocator and kernels settle
constexpr double redraw_s = 0.1;          // on a terminal
constexpr double line_s = 10;             // into a pipe
constexpr int bar_width = 24;

// What a run that stopped at `start_step` had told: later lines are of steps that will be done again.
std::string kept_lines(const std::filesystem::path& path, std::int64_t start_step) {
  if (start_step == 0 || !std::filesystem::exists(path)) return {};
  std::string kept;
  const std::string text = read_file(path);
  for (std::size_t begin = 0, end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
    const std::string line = text.substr(begin, end - begin + 1);
    const Json record = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (record.is_discarded()) continue;
    const std::int64_t step = record.at("step");
    if (step < start_step || (step == start_step && record.at("kind") == "eval")) kept += line;
  }
  return kept;
}

// One entry a module in each list: of its last branch, which is the one that its window trains by, and of the
// independent one where that is another.
void add_losses(Json& record, const ModuleReport& module, std::int64_t samples) {
  const LossReport none{.branch = "", .loss = std::numeric_limits<double>::quiet_NaN(), .correct = -1};
  const LossReport& last = module.losses.empty() ? none : module.losses.back();
  record["loss"].push_back(last.loss);
  record["accuracy"].push_back(
      last.correct < 0 ? Json() : Json(static_cast<double>(last.correct) / static_cast<double>(samples)));
  if (module.losses.size() > 1) record["loss_independent"].push_back(module.losses.front().loss);
}

std::string duration(double s) {
  const auto whole = static_cast<std::int64_t>(s);
  return whole >= 3600 ? fmt::format("{}h{:02}m", whole / 3600, whole / 60 % 60)
                       : fmt::format("{}m{:02}s", whole / 60, whole % 60);
}

}  // namespace

Reporter::Reporter(const std::filesystem::path& metrics, std::int64_t start_step, Display display)
    : display_(display) {
  if (metrics.empty()) return;
  write_file_atomically(metrics, kept_lines(metrics, start_step));
  metrics_.open(metrics, std::ios::app);
}

void Reporter::on_packet(const Packet& packet) {
  if (packet.kind == PacketKind::train) on_train(packet);
  if (packet.kind == PacketKind::eval) on_eval(packet);
  after_train_ = packet.kind == PacketKind::train;
  if (packet.kind == PacketKind::stop && metrics_.is_open()) metrics_.flush();
  if (metrics_.is_open() && !metrics_)
    throw Error(ErrorKind::storage,
                "metrics.jsonl: expected to append a line, found that the disk takes no more");
}

void Reporter::on_train(const Packet& packet) {
  const double step_s = since_packet_.lap_s();
  ++seen_steps_;
  if (seen_steps_ > warmup_steps) {
    if (after_train_) {
      train_s_ += step_s;
      train_images_ += packet.samples();
      ++train_steps_;
    }
    stage_s_.resize(packet.stages.size());
    for (std::size_t i = 0; i < stage_s_.size(); ++i) stage_s_[i] += packet.stages[i].compute_s;
    ++stage_steps_;
  }
  if (metrics_.is_open()) {
    Json record = {{"kind", "train"},
                   {"step", packet.step},
                   {"epoch", packet.epoch},
                   {"lr", packet.lr},
                   {"images_per_s", static_cast<double>(packet.samples()) / step_s},
                   {"rss_mib", resident_mib()}};
    for (const ModuleReport& module : packet.modules) add_losses(record, module, packet.samples());
    for (const StageReport& stage : packet.stages) {
      record["busy"].push_back(stage.compute_s / step_s);
      record["snapshot_age"].push_back(stage.age_steps);
      record["snapshot_wait_s"].push_back(stage.snapshot_wait_s);
    }
    metrics_ << record.dump() << '\n';
  }
  show_step(packet, step_s);
}

void Reporter::on_eval(const Packet& packet) {
  eval_images_ += packet.samples();
  const LossReport& classifier = packet.modules.back().losses.back();
  eval_correct_ += classifier.correct;
  eval_loss_ += classifier.loss * static_cast<double>(packet.samples());
  if (!packet.closes_evaluation) return;
  test_accuracy_ = static_cast<double>(eval_correct_) / static_cast<double>(eval_images_);
  test_loss_ = eval_loss_ / static_cast<double>(eval_images_);
  if (metrics_.is_open())
    metrics_ << Json({{"kind", "eval"},
                      {"step", packet.step},
                      {"epoch", packet.epoch},
                      {"test_accuracy", test_accuracy_},
                      {"test_loss", test_loss_},
                      {"images", eval_images_}})
                    .dump()
             << '\n'
             << std::flush;
  show_line(fmt::format("step {:>6}  test accuracy {:.2f} %  loss {:.4f}  ({} images)", packet.step,
                        100 * test_accuracy_, test_loss_, eval_images_));
  eval_images_ = eval_correct_ = 0;
  eval_loss_ = 0;
}

void Reporter::show_step(const Packet& packet, double step_s) {
  if (display_ == Display::nothing) return;
  const bool bar = display_ == Display::bar;
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
      packet.modules.back().losses.back().loss, packet.lr, duration(left_s), fmt::join(busy, " "));
  if (shadows) line += fmt::format("  age {}", fmt::join(ages, " "));
  if (!bar) return show_line(line);
  const auto filled =
      static_cast<int>(bar_width * (packet.step + 1) / std::max<std::int64_t>(1, packet.total_steps));
  fmt::print("\r\x1b[K[{:=<{}}{:{}}] {}", "", filled, "", bar_width - filled, line);
  std::fflush(stdout);
}

// A line of its own; on a terminal it takes the bar's place, which is drawn anew below.
void Reporter::show_line(const std::string& line) {
  if (display_ == Display::nothing) return;
  fmt::print("{}{}\n", display_ == Display::bar ? "\r\x1b[K" : "", line);
  std::fflush(stdout);
}

std::vector<double> Reporter::stage_seconds() const {
  std::vector<double> mean = stage_s_;
  for (double& s : mean) s /= static_cast<double>(stage_steps_);
  return mean;
}

}  // namespace lamina
