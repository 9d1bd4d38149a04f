#include <fmt/format.h>
#include <fmt/ranges.h>

#include <set>

#include "commands.hpp"

namespace lamina {
namespace {

constexpr const char* bash_script =
    R"(# Completion of lamina's command line, for bash: printed by `lamina completion bash`.
_lamina() {{
  local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD - 1]}} command= each words=
  for each in "${{COMP_WORDS[@]:1:COMP_CWORD - 1}}"; do
    [[ $each == -* ]] || {{ command=$each; break; }}
  done
  [[ $before != = ]] || before=${{COMP_WORDS[COMP_CWORD - 2]}}
  COMPREPLY=()
  case $before in
    --set)
      mapfile -t COMPREPLY < <(compgen -S = -W '{keys}' -- "$word")
      compopt -o nospace 2>/dev/null
      return
      ;;
    {numbers})
      compopt +o default 2>/dev/null
      return
      ;;
  esac
  case $command in
{commands}  esac
  if [[ -z $command || $word == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
  fi
}}
complete -o default -F _lamina lamina
)";

std::vector<std::string> long_options(const CLI::App& command,
                                      const std::function<bool(const CLI::Option&)>& wanted) {
  std::vector<std::string> names;
  for (const CLI::Option* option : command.get_options())
    if (wanted(*option))
      for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  return names;
}

bool takes_a_number(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  return option.get_items_expected_max() > 0 &&
         (type.starts_with("INT") || type.starts_with("UINT") || type.starts_with("FLOAT"));
}

// What may follow a command: its subcommands and its options.
std::string case_of(const std::string& pattern, const CLI::App& command) {
  std::vector<std::string> words;
  for (const CLI::App* each : command.get_subcommands({})) words.push_back(each->get_name());
  for (std::string& name : long_options(command, [](const CLI::Option&) { return true; }))
    words.push_back(std::move(name));
  return fmt::format("    {}) words='{}' ;;\n", pattern, fmt::join(words, " "));
}

std::vector<std::string> config_keys() {
  RunConfig config;
  config.method.use_mlaan = true;  // its keys are listed only where it is there
  std::vector<std::string> keys;
  for (const EffectiveField& field : list_fields(config)) keys.push_back(field.key);
  return keys;
}

std::string completion(const CLI::App& app) {
  std::set<std::string> numbers;
  std::string commands = case_of("''", app);
  for (const CLI::App* command : app.get_subcommands({})) {
    commands += case_of(command->get_name(), *command);
    for (std::string& name : long_options(*command, takes_a_number)) numbers.insert(std::move(name));
  }
  return fmt::format(bash_script, fmt::arg("keys", fmt::join(config_keys(), " ")),
                     fmt::arg("numbers", fmt::join(numbers, " | ")), fmt::arg("commands", commands));
}

}  // namespace

void add_completion_command(CLI::App& app) {
  const auto shell = std::make_shared<std::string>();
  CLI::App* command = app.add_subcommand(
      "completion", "prints a script that completes this command line: source <(lamina completion bash)");
  command->add_option("shell", *shell, "bash")->required()->check(CLI::IsMember({"bash"}));
  command->callback([&app] { fmt::print("{}", completion(app)); });
}

}  // namespace lamina
