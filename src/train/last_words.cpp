#include "last_words.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <ctime>
#include <fstream>
#include <future>
#include <thread>

#include "lamina/control/thread_stacks.hpp"
#include "lamina/core/files.hpp"
#include "lamina/core/log.hpp"

namespace lamina {
namespace {

constexpr Seconds patience_with_stacks{4};     // which are to be written, too, within that of the disk
constexpr Seconds patience_with_the_disk{10};  // less than the others have with these words (liveness.cpp)

std::filesystem::path make_place(const std::filesystem::path& out, int worker) {
  const std::filesystem::path folder = out / "where-they-were";
  make_directory(folder);
  return folder / fmt::format("worker-{}.txt", worker);
}

void append(const std::filesystem::path& path, const std::string& text) {
  std::ofstream file(path, std::ios::app);
  file << text;
  file.close();
  if (!file)
    throw Error(ErrorKind::storage, fmt::format("{}: expected to append to it, found no way", path.string()));
}

// The stacks come last: they take a while, and what is left when the process exits is to be on the disk.
void write_or_say(const std::filesystem::path& out, int worker, const std::string& words, bool hangs) {
  try {
    if (out.empty()) {
      if (hangs) log_info(words + text(thread_stacks(patience_with_stacks)));
      return;
    }
    const std::filesystem::path path = make_place(out, worker);
    append(path, fmt::format("{:%Y-%m-%d %H:%M:%S}\n{}", fmt::localtime(std::time(nullptr)), words));
    if (!hangs) return append(path, "\n");
    append(path, text(thread_stacks(patience_with_stacks)) + "\n");
    log_info(fmt::format("the stacks of all threads are in {}", path.string()));
  } catch (const std::exception& problem) {
    log_warning(problem.what());
  }
}

}  // namespace

std::string text(int worker, const std::vector<WorkerName>& names) {
  if (names.empty()) return fmt::format("worker {}", worker);
  const WorkerName& name = names.at(static_cast<std::size_t>(worker));
  return fmt::format("worker {} (pid {} on {})", worker, name.pid, name.host);
}

std::string text(const Sentence& sentence, const std::vector<WorkerName>& names) {
  const double s = sentence.standstill_s;
  if (sentence.cause.worker < 0)
    return fmt::format("all workers wait for one another, and none has got any further for {:.0f} s", s);
  const std::string who = text(sentence.cause.worker, names);
  const std::string where = text(sentence.where);
  switch (sentence.cause.condition) {
    case Condition::lost:
      return fmt::format("{} lost {}: {}", who, where,
                         s > 0 ? fmt::format("no sign of life for {:.0f} s", s) : "its connection is gone");
    case Condition::stuck:
      return fmt::format("{} stuck {} for {:.0f} s", who, where, s);
    case Condition::failed:
      return fmt::format("{} failed {}; it says why", who, where);
    case Condition::slow:
      return fmt::format("{} is slow: {}, with nothing new for {:.0f} s", who, where, s);
    case Condition::well:
      break;
  }
  return fmt::format("{} is {}", who, where);
}

ErrorKind kind_of(const Sentence& sentence) {
  return sentence.cause.condition == Condition::stuck ? ErrorKind::timeout : ErrorKind::peer_lost;
}

std::string lanes_text(const RunPlan& plan, int worker, const ActionBoard& board) {
  std::string lines;
  for (std::size_t lane = 0; lane < board.num_lanes(); ++lane) {
    const ScheduleLane& route = plan.schedule.lanes[lane];
    const char* what = route.gradient ? "gradients at" : "output of";
    const LaneCount count = board.lane(lane);
    if (route.from == worker)
      lines +=
          fmt::format("lane {} to worker {}, {} stage {}: {} messages sent, {} of them perhaps not taken\n",
                      lane, route.to, what, route.stage, count.carried, count.open);
    if (route.to == worker)
      lines += fmt::format("lane {} from worker {}, {} stage {}: {} messages received\n", lane, route.from,
                           what, route.stage, count.carried);
  }
  return lines;
}

void write_down(const std::filesystem::path& out, int worker, std::string words, bool hangs) {
  std::promise<void> written;
  const std::future<void> done = written.get_future();
  std::thread([written = std::move(written), out, worker, words = std::move(words), hangs,
               label = log_label()]() mutable {
    set_log_label(label);
    write_or_say(out, worker, words, hangs);
    written.set_value();
  }).detach();
  if (done.wait_for(patience_with_the_disk) != std::future_status::ready)
    log_warning(fmt::format("{}: where this worker was could not be written in {:.0f} s", out.string(),
                            patience_with_the_disk.count()));
}

}  // namespace lamina
