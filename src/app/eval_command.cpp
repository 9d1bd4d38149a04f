#include <fmt/format.h>

#include "commands.hpp"
#include "lamina/train/engine.hpp"
#include "opened_checkpoint.hpp"

namespace lamina {

void add_eval_command(CLI::App& app) {
  struct Arguments : ConfigArguments {
    std::string directory;
  };
  const auto arguments = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand("eval", "evaluate a checkpoint on the test set");
  command->add_option("checkpoint", arguments->directory, "a checkpoint, or a run's directory")->required();
  arguments->add_sets_to(*command);
  command->callback([arguments] {
    const OpenedCheckpoint opened = open_checkpoint(arguments->directory, arguments->sets);
    const auto summary = run(opened.plan, {.mode = RunMode::eval, .checkpoint = opened.path.string()});
    if (summary)
      fmt::print("{}: test accuracy {:.2f} %\n", opened.path.string(), 100 * summary->test_accuracy);
  });
}

}  // namespace lamina
