#include <fmt/format.h>
#include <fmt/ranges.h>

#include "commands.hpp"
#include "lamina/nn/module.hpp"

namespace lamina {
namespace {

constexpr int shown_packets = 5;

void print_config(const RunPlan& plan, const ConfigText& text) {
  fmt::print("# effective configuration\n");
  for (const EffectiveField& field : list_fields(plan.config))
    fmt::print("{:<28} {:<18} # {}\n", field.key, field.value, text.origin(field.key));
}

// "1c2f", or "linear, [2,0][3,0] linear" where the second head stands behind a LAM.
std::string heads(const ModuleSpec& module) {
  std::vector<std::string> names;
  for (const BranchSpec& branch : module.branches) {
    std::string leaps;
    for (const LeapSpec& leap : branch.leaps) leaps += text(leap.block.id);
    names.push_back(leaps.empty() ? branch.head.name : leaps + " " + branch.head.name);
  }
  return fmt::format("{}", fmt::join(names, ", "));
}

// "2", or "2-4" of replicas.
std::string workers(const WorkerGroup& group) {
  const int last = group.first_worker + group.replicas - 1;
  return group.replicas == 1 ? std::to_string(last) : fmt::format("{}-{}", group.first_worker, last);
}

void print_partition(const RunPlan& plan) {
  fmt::print("\n# partition: {} modules in {} stages on {} worker(s)\n", plan.modules.size(),
             plan.stages.size(), plan.num_workers());
  fmt::print("{:>6} {:>5} {:>6}  {:<14} {:<10} {:>12} {:>14} {:>14}  {}\n", "module", "stage", "worker",
             "blocks", "output", "parameters", "mult-adds", "of the heads", "heads");
  std::int64_t parameters = 0, multiply_adds = 0, of_heads = 0;
  for (const WorkerGroup& group : plan.groups)
    for (const int s : group.stages())
      for (const ModuleSpec& m : plan.stages[s].modules) {
        fmt::print("{:>6} {:>5} {:>6}  {:<14} {:<10} {:>12} {:>14} {:>14}  {}\n", m.index, s, workers(group),
                   text(m.blocks.front().id) + ".." + text(m.blocks.back().id),
                   fmt::format("{}x{}x{}", m.out.channels, m.out.height, m.out.width), m.parameters(),
                   m.multiply_adds(), m.branch_multiply_adds(), heads(m));
        parameters += m.parameters();
        multiply_adds += m.multiply_adds();
        of_heads += m.branch_multiply_adds();
      }
  fmt::print("{:>6} {:>5} {:>6}  {:<14} {:<10} {:>12} {:>14} {:>14}\n", "total", "", "", "", "", parameters,
             multiply_adds, of_heads);
}

void print_schedule(const RunPlan& plan) {
  fmt::print("\n# schedule: {}; {}, a stage a slot\n{}", plan.schedule.name,
             plan.is_end_to_end() ? "f1:3.0 and b1:3.0 are stage 1 on micro-batch 0 of packet 3"
                                  : "s1:3 is stage 1 on packet 3",
             text(play(plan.schedule, shown_packets, static_cast<int>(plan.config.pipeline.buffers))));
}

// A module at a time, and no values drawn for it: the whole network with its copies may be large.
void print_names(const RunPlan& plan) {
  fmt::print("\n# tensors: name, shape, and whether it is trained, an average of trained ones or a buffer\n");
  const Initializer blank = Initializer(0).blank();
  for (const ModuleSpec& spec : plan.modules) {
    fmt::print("# module {}\n", spec.index);
    for (const NamedTensor& entry : Module(spec, blank).tensors())
      fmt::print("{:<44} {:<18} {}\n", entry.name, fmt::format("[{}]", fmt::join(entry.tensor.sizes(), ",")),
                 entry.trained                    ? "trained"
                 : entry.name.starts_with("ema.") ? "average"
                                                  : "buffer");
  }
}

}  // namespace

void add_show_command(CLI::App& app) {
  struct Arguments : ConfigArguments {
    bool names = false;
  };
  const auto arguments = std::make_shared<Arguments>();
  CLI::App* command =
      app.add_subcommand("show", "the effective configuration, the partition and the schedule");
  arguments->add_to(*command);
  command->add_flag("--names", arguments->names, "list the tensors of every module too, with their shapes");
  command->callback([arguments] {
    const RunPlan plan = arguments->plan();
    print_config(plan, arguments->text());
    print_partition(plan);
    print_schedule(plan);
    if (arguments->names) print_names(plan);
  });
}

}  // namespace lamina
