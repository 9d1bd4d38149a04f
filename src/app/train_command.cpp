#include <fmt/format.h>

#include "commands.hpp"
#include "lamina/train/engine.hpp"
#include "lamina/train/stop_request.hpp"

namespace lamina {
namespace {

void print(const RunSummary& summary, const std::string& out) {
  fmt::print("{} at step {}: ", summary.complete ? "done" : "stopped", summary.step);
  if (summary.test_accuracy >= 0) fmt::print("test accuracy {:.2f} %, ", 100 * summary.test_accuracy);
  fmt::print("{:.0f} images/s, {:.0f} s\n{}/summary.json\n", summary.images_per_s, summary.seconds, out);
}

}  // namespace

void add_train_command(CLI::App& app) {
  struct Arguments : ConfigArguments {
    bool resume = false;
  };
  const auto arguments = std::make_shared<Arguments>();
  CLI::App* command =
      app.add_subcommand("train", "train a network as a pipeline of gradient-isolated stages");
  arguments->add_to(*command);
  arguments->add_out_to(*command);
  command->add_flag("--resume", arguments->resume,
                    "go on from the newest checkpoint in the output directory");
  arguments->add_trace_to(*command);
  command->callback([arguments] {
    install_stop_signals();
    const RunPlan plan = arguments->plan();
    const auto summary = run(plan, {.mode = arguments->resume ? RunMode::resume : RunMode::train,
                                    .stop_requested = stop_requested,
                                    .checkpoint_requested = checkpoint_requested,
                                    .trace = arguments->trace});
    if (summary) print(*summary, plan.config.out);
  });
}

}  // namespace lamina
