#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "commands.hpp"
#include "lamina/study/run_watch.hpp"
#include "terminal.hpp"

namespace lamina {
namespace {

// Frame over frame until q or a signal; a run that is over stays in sight.
void show_live(const std::function<RunLook()>& look, Seconds every) {
  RunLook seen = look();  // before the terminal is taken, so that a refusal is one plain line
  Terminal terminal;
  for (;;) {
    const std::size_t rows = std::max<std::size_t>(terminal.rows(), 3);
    std::vector<std::string> lines = frame_of(seen.sight, terminal.columns(), rows - 2);
    lines.insert(lines.end(), {"", "q leaves"});
    terminal.draw(lines);
    switch (terminal.wait(every)) {
      case Terminal::Event::time:
        seen = look();
        break;
      case Terminal::Event::resized:
        break;
      case Terminal::Event::key_q:
      case Terminal::Event::signal:
        return;
    }
  }
}

// One frame behind the other, until the run is over.
void print_frames(const std::function<RunLook()>& look, Seconds every, bool once) {
  for (;;) {
    const RunLook seen = look();
    for (const std::string& line : frame_of(seen.sight)) fmt::print("{}\n", line);
    std::fflush(stdout);
    if (once || seen.over) return;
    std::this_thread::sleep_for(every);
    fmt::print("\n");
  }
}

}  // namespace

void add_top_command(CLI::App& app) {
  struct Arguments {
    std::string where;
    double every_s = 1;
    bool once = false;
  };
  const auto arguments = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand("top", "watch a run: all stages, live in a terminal");
  command
      ->add_option("run", arguments->where,
                   "DIR of the run, or HOST:PORT or PORT of its endpoint (config key: metrics.listen)")
      ->required();
  command->add_flag("--once", arguments->once, "print one frame");
  command->add_option("--every", arguments->every_s, "seconds between frames")
      ->check(CLI::Range(0.05, 3600.0))
      ->capture_default_str();
  command->callback([arguments] {
    const std::function<RunLook()> look = watch_run(arguments->where);
    const Seconds every(arguments->every_s);
    if (arguments->once || isatty(STDOUT_FILENO) == 0)
      print_frames(look, every, arguments->once);
    else
      show_live(look, every);
  });
}

}  // namespace lamina
