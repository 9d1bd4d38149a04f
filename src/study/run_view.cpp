#include "lamina/study/run_view.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "lamina/core/process.hpp"
#include "lamina/train/reporter.hpp"

namespace lamina {
namespace {

constexpr std::size_t widest_bar = 40;

// A number by a format, or "-" where it is not known.
std::string shown(fmt::format_string<double&> format, double value) {
  return std::isfinite(value) ? fmt::format(format, value) : "-";
}

std::string memory(double bytes) {
  return bytes >= 10 * 1024 * mib ? fmt::format("{:.1f} GiB", bytes / 1024 / mib)
                                  : shown("{:.0f} MiB", bytes / mib);
}

// The interval's steps, images and seconds.
struct Interval {
  double steps, images, seconds;
};

// What a row says of a stage: a heading, and its text; a column of nothing but zeros may be left out.
struct WaitColumn {
  const char* heading;
  std::size_t width;
  double StageFigures::* share = nullptr;  // a sum of seconds, shown as its share of the interval
  bool is_optional = false;
};
constexpr WaitColumn waits[] = {
    {"input", 5, &StageFigures::input_s},
    {"room", 5, &StageFigures::room_s},
    {"snapshot", 8, &StageFigures::snapshot_s, /*is_optional=*/true},
    {"replicas", 8, &StageFigures::replicas_s, /*is_optional=*/true},
};

class Frame {
 public:
  Frame(const RunSight& sight, std::size_t width) : now_(sight.now), before_(sight.before), sight_(sight) {
    // Another process, after a resume, counts anew.
    if (before_.steps > now_.steps || before_.stages.size() > now_.stages.size()) before_ = {};
    before_.stages.resize(now_.stages.size());
    interval_ = {now_.steps - before_.steps, now_.images - before_.images, now_.seconds - before_.seconds};
    const std::size_t others = heading("").size();
    bar_ = std::min(width > others ? width - others : 0, widest_bar);
  }

  std::vector<std::string> lines() const {
    std::vector<std::string> lines = {progress(), rates()};
    if (!sight_.state.empty()) lines.push_back(sight_.state);
    lines.push_back("");
    lines.push_back(heading(fmt::format("{:<{}}", "", bar_)));
    for (std::size_t i = 0; i < now_.stages.size(); ++i) lines.push_back(row(i));
    return lines;
  }

 private:
  std::string progress() const {
    std::string line = fmt::format("{}  step {:.0f}/{:.0f}  epoch {:.0f}  lr {:.4g}", sight_.where, now_.step,
                                   now_.planned_steps, now_.epoch + 1, now_.lr);
    if (interval_.steps > 0)
      line += fmt::format(
          "  left {}", duration_text((now_.planned_steps - now_.step) * interval_.seconds / interval_.steps));
    return line;
  }

  std::string rates() const {
    if (interval_.steps <= 0) return "no step yet";
    std::string line = fmt::format("{:.0f} images/s, mean of {:.0f} steps in {:.1f} s",
                                   interval_.images / interval_.seconds, interval_.steps, interval_.seconds);
    if (std::isfinite(now_.test_accuracy))
      line += fmt::format("  test accuracy {:.2f} %  loss {}", 100 * now_.test_accuracy,
                          shown("{:.4f}", now_.test_loss));
    return line;
  }

  double share(std::size_t stage, double StageFigures::* seconds) const {
    return (now_.stages[stage].*seconds - before_.stages[stage].*seconds) / interval_.seconds;
  }

  bool shows(const WaitColumn& column) const {
    return !column.is_optional || std::any_of(now_.stages.begin(), now_.stages.end(),
                                              [&](const auto& stage) { return stage.*column.share > 0; });
  }

  bool on_devices() const {
    return std::any_of(now_.stages.begin(), now_.stages.end(),
                       [](const auto& stage) { return stage.device_memory_bytes > 0; });
  }

  std::string heading(const std::string& bar) const {
    std::string line = fmt::format("stage worker  busy {}", bar);
    for (const WaitColumn& column : waits)
      if (shows(column)) line += fmt::format(" {:>{}}", column.heading, column.width);
    line += fmt::format(" {:>4} {:>8}", "age", "memory");
    if (on_devices()) line += fmt::format(" {:>9}", "on device");
    return line + fmt::format(" {:>7} {:>8}", "loss", "accuracy");
  }

  std::string row(std::size_t index) const {
    const StageFigures& stage = now_.stages[index];
    const double busy = share(index, &StageFigures::compute_s);
    const double filled = std::isfinite(busy) ? std::clamp(busy, 0.0, 1.0) : 0;
    const auto full = static_cast<std::size_t>(std::lround(filled * static_cast<double>(bar_)));
    std::string line = fmt::format("{:>5} {:>6} {:>5} {:#<{}}{:.<{}}", index, stage.worker,
                                   shown("{:.0f} %", 100 * busy), "", full, "", bar_ - full);
    for (const WaitColumn& column : waits)
      if (shows(column))
        line += fmt::format(" {:>{}}", shown("{:.0f} %", 100 * share(index, column.share)), column.width);
    line +=
        fmt::format(" {:>4} {:>8}", shown("{:.0f}", stage.snapshot_age_steps), memory(stage.memory_bytes));
    if (on_devices()) line += fmt::format(" {:>9}", memory(stage.device_memory_bytes));
    const ModuleFigures last = last_module(static_cast<int>(index));
    return line +
           fmt::format(" {:>7} {:>8}", shown("{:.4f}", last.loss), shown("{:.1f} %", 100 * last.accuracy));
  }

  ModuleFigures last_module(int stage) const {
    const auto found = std::find_if(now_.modules.rbegin(), now_.modules.rend(),
                                    [&](const ModuleFigures& module) { return module.stage == stage; });
    return found == now_.modules.rend() ? ModuleFigures{} : *found;
  }

  const RunFigures& now_;
  RunFigures before_;
  const RunSight& sight_;
  Interval interval_{};
  std::size_t bar_ = 0;
};

}  // namespace

std::vector<std::string> frame_of(const RunSight& sight, std::size_t width, std::size_t height) {
  std::vector<std::string> lines = Frame(sight, width).lines();
  if (lines.size() > height) {
    const std::size_t left_out = lines.size() - height + 1;
    lines.resize(height);
    if (height > 0) lines.back() = fmt::format("and {} more stages", left_out);
  }
  for (std::string& line : lines) line = line.substr(0, width);
  return lines;
}

}  // namespace lamina
