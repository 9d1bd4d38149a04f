#include <fmt/format.h>

#include <numeric>

#include "commands.hpp"
#include "lamina/core/files.hpp"
#include "lamina/nn/partition.hpp"
#include "lamina/study/profile.hpp"

namespace lamina {
namespace {

std::int64_t wanted_stages(const IntOrList& stages) {
  if (const auto* list = std::get_if<std::vector<std::int64_t>>(&stages))
    return static_cast<std::int64_t>(list->size()) + 1;
  return std::get<std::int64_t>(stages);
}

std::vector<double> sums(const std::vector<double>& seconds, const std::vector<std::int64_t>& ends) {
  std::vector<double> stage_s(ends.size() + 1, 0.0);
  for (std::size_t module = 0, stage = 0; module < seconds.size(); ++module) {
    stage_s[stage] += seconds[module];
    if (stage < ends.size() && static_cast<std::int64_t>(module) == ends[stage]) ++stage;
  }
  return stage_s;
}

void print(const RunPlan& plan, const std::vector<double>& seconds, const std::vector<std::int64_t>& ends) {
  for (std::size_t i = 0; i < seconds.size(); ++i)
    fmt::print("module {:<3} {:8.2f} ms a step\n", i, 1e3 * seconds[i]);
  const std::vector<double> stage_s = sums(seconds, ends);
  double slowest_s = 0;
  for (std::size_t s = 0; s < stage_s.size(); ++s) {
    fmt::print("stage  {:<3} {:8.2f} ms a step\n", s, 1e3 * stage_s[s]);
    slowest_s = std::max(slowest_s, stage_s[s]);
  }
  fmt::print("pipeline.stages: [{}]\n", fmt::join(ends, ", "));
  fmt::print("promises {:.1f} images/s with a worker of {} thread(s) for each stage\n",
             static_cast<double>(plan.config.train.batch) / slowest_s, *plan.config.pipeline.threads);
}

}  // namespace

void add_plan_command(CLI::App& app) {
  struct Arguments : ConfigArguments {
    std::string write;
    int repeats = 7;
  };
  const auto arguments = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand(
      "plan",
      "measures every module on this machine and cuts the stages so that the slowest is as fast as can be");
  arguments->add_to(*command);
  command->add_option("--write", arguments->write, "write the configuration with that cut to a file");
  command->add_option("--repeats", arguments->repeats, "steps measured per module; the median counts")
      ->check(CLI::Range(1, 1000000))
      ->capture_default_str();
  command->callback([arguments] {
    const RunPlan plan = arguments->plan();
    const std::vector<double> seconds = measure_modules(plan, arguments->repeats);
    const auto ends = balanced_cut(seconds, wanted_stages(plan.config.pipeline.stages));
    print(plan, seconds, ends);
    if (arguments->write.empty()) return;
    RunConfig config = plan.config;
    config.pipeline.stages = ends;
    write_file_atomically(arguments->write, to_yaml(list_fields(config)));
  });
}

}  // namespace lamina
