#include <fmt/format.h>

#include <filesystem>

#include "commands.hpp"
#include "lamina/core/error.hpp"
#include "lamina/train/safetensors.hpp"
#include "opened_checkpoint.hpp"

namespace lamina {
namespace {

bool is_auxiliary(const std::string& name) {
  return name.starts_with("head.") || name.starts_with("lam.") || name.starts_with("ema.");
}

}  // namespace

void add_export_command(CLI::App& app) {
  struct Arguments {
    std::string checkpoint;
    std::string result;
    bool auxiliary = false;
  };
  const auto arguments = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand(
      "export", "the network of a checkpoint as one safetensors file with torchvision's names, for Python");
  command->add_option("checkpoint", arguments->checkpoint, "directory of a checkpoint, or of a run")
      ->required();
  command->add_option("out", arguments->result, "file to write")->required();
  command->add_flag("--auxiliary", arguments->auxiliary, "with heads, leaps and EMAs");
  command->callback([arguments] {
    const OpenedCheckpoint opened = open_checkpoint(arguments->checkpoint);
    if (std::filesystem::exists(arguments->result))
      throw Error(ErrorKind::storage, fmt::format("{}: expected no such file, found one", arguments->result));
    std::vector<Stage> stages = make_stages(opened.plan, 0);
    for (Stage& stage : stages) load_stage(opened.path, opened.manifest, stage);
    TensorList list;
    for (const Stage& stage : stages)
      for (const Stage::Part& part : stage.parts())
        for (const NamedTensor& entry : part.module.tensors())
          if (arguments->auxiliary || !is_auxiliary(entry.name)) list.emplace_back(entry.name, entry.tensor);
    write_safetensors(arguments->result, list);
    fmt::print("{}: {} tensors of step {}\n", arguments->result, list.size(), opened.manifest.step);
  });
}

}  // namespace lamina
