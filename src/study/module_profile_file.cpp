#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string_view>

#include "lamina/core/error.hpp"
#include "lamina/core/files.hpp"
#include "lamina/study/module_profile.hpp"
#include "profile_fields.hpp"

namespace lamina {
namespace {

using Json = nlohmann::json;

constexpr int format_version = 2;  // 2: knows the schedule, its micro-batches, and whether it recomputes

Json to_json(const RunCost& cost) {
  return {cost.seconds, cost.kept_bytes, cost.peak_bytes, cost.forward_s};
}

RunCost run_cost(const Json& json) {
  return {.seconds = json.at(0).get<double>(),
          .kept_bytes = json.at(1).get<double>(),
          .peak_bytes = json.at(2).get<double>(),
          .forward_s = json.size() > 3 ? json.at(3).get<double>() : 0};  // which was not written at first
}

Json to_json(const std::vector<RunCost>& costs) {
  Json json = Json::array();
  for (const RunCost& cost : costs) json.push_back(to_json(cost));
  return json;
}

std::vector<RunCost> run_costs(const Json& json) {
  std::vector<RunCost> costs;
  for (const Json& cost : json) costs.push_back(run_cost(cost));
  return costs;
}

WindowProfile window_profile(const Json& json) {
  WindowProfile profile{.window = json.at("window").get<std::int64_t>()};
  for (const Json& runs : json.at("runs")) profile.runs.push_back(run_costs(runs));
  profile.with_shadows = run_costs(json.at("with_shadows"));
  return profile;
}

ModuleProfile module_profile(const Json& json) {
  ModuleProfile profile{.of = json.at("of").get<std::map<std::string, std::string>>(),
                        .machine = json.at("machine").get<std::string>(),
                        .neighbours = json.value("neighbours", 0),  // which was not written at first
                        .deviation = json.value("deviation", 0.0),  // nor was this
                        .message_bytes = json.at("message_bytes").get<std::vector<double>>(),
                        .gradient_bytes = json.at("gradient_bytes").get<std::vector<double>>()};
  for (const Json& window : json.at("windows")) profile.windows.push_back(window_profile(window));
  return profile;
}

// Whether every list has as many entries as there are modules.
bool is_whole(const ModuleProfile& profile, std::size_t num_modules) {
  const auto fits = [num_modules](const auto& list) { return list.size() == num_modules; };
  return fits(profile.message_bytes) && fits(profile.gradient_bytes) && !profile.windows.empty() &&
         std::all_of(profile.windows.begin(), profile.windows.end(), [&](const WindowProfile& window) {
           return !window.runs.empty() && std::all_of(window.runs.begin(), window.runs.end(), fits) &&
                  (window.window == 1 || fits(window.with_shadows));
         });
}

double batch_of(const ModuleProfile& profile, const std::filesystem::path& path) {
  const auto found = profile.of.find("train.batch");
  if (const double batch = found == profile.of.end() ? 0 : std::strtod(found->second.c_str(), nullptr);
      batch > 0)
    return batch;
  throw Error(ErrorKind::config,
              fmt::format("{}: expected the profile of a batch, found none", path.string()));
}

// As of a batch so many times as large.
void scale(ModuleProfile& profile, double factor) {
  const auto scale_run = [factor](RunCost& run) {
    run.seconds *= factor;
    run.forward_s *= factor;
    run.peak_bytes = run.kept_bytes + factor * (run.peak_bytes - run.kept_bytes);
  };
  for (double& bytes : profile.message_bytes) bytes *= factor;
  for (WindowProfile& window : profile.windows) {
    for (std::vector<RunCost>& of_size : window.runs) std::ranges::for_each(of_size, scale_run);
    std::ranges::for_each(window.with_shadows, scale_run);
  }
}

}  // namespace

std::map<std::string, std::string> fields_that_decide(const RunConfig& config) {
  constexpr std::array<std::string_view, 15> decide = {"model.",
                                                       "partition.",
                                                       "method.",
                                                       "train.batch",
                                                       "train.sgd.",
                                                       "data.name",
                                                       "data.image",
                                                       "pipeline.threads",
                                                       "pipeline.device",
                                                       "pipeline.memory_format",
                                                       "pipeline.micro_batches",
                                                       "pipeline.precision",
                                                       "pipeline.recompute",
                                                       "pipeline.schedule",
                                                       "pipeline.transfer"};
  constexpr std::array<std::string_view, 3> may_differ = {"model.init", "method.mlaan.window",
                                                          "method.mlaan.across_stages"};
  std::map<std::string, std::string> fields;
  for (const EffectiveField& field : list_fields(config)) {
    const auto begins = [&](std::string_view key) { return field.key.starts_with(key); };
    if (std::any_of(decide.begin(), decide.end(), begins) &&
        std::none_of(may_differ.begin(), may_differ.end(), begins))
      fields[field.key] = field.value;
  }
  return fields;
}

void write_profile(const std::filesystem::path& path, const ModuleProfile& profile) {
  Json json = {{"format", format_version},
               {"of", profile.of},
               {"machine", profile.machine},
               {"neighbours", profile.neighbours},
               {"deviation", profile.deviation},
               {"run_entries", {"seconds", "kept_bytes", "peak_bytes", "forward_s"}},
               {"message_bytes", profile.message_bytes},
               {"gradient_bytes", profile.gradient_bytes}};
  for (const WindowProfile& window : profile.windows) {
    Json runs = Json::array();
    for (const auto& of_size : window.runs) runs.push_back(to_json(of_size));
    json["windows"].push_back({{"window", window.window},
                               {"runs", std::move(runs)},
                               {"with_shadows", to_json(window.with_shadows)}});
  }
  write_file_atomically(path, json.dump(1) + "\n");
}

ModuleProfile read_profile(const std::filesystem::path& path, const RunPlan& plan, ProfiledBatch batch) {
  const std::string text = read_file(path);
  ModuleProfile profile;
  try {
    const Json json = Json::parse(text);
    if (const int format = json.at("format").get<int>(); format != format_version)
      throw Error(ErrorKind::config,
                  fmt::format("{}: expected a profile of format {}, found {}; measure anew", path.string(),
                              format_version, format));
    profile = module_profile(json);
  } catch (const Json::exception&) {
    throw Error(
        ErrorKind::config,
        fmt::format("{}: expected a profile that lamina plan wrote, found something else", path.string()));
  }
  std::map<std::string, std::string> wanted = fields_that_decide(plan.config);
  if (batch == ProfiledBatch::in_proportion) {
    scale(profile, static_cast<double>(plan.config.train.batch) / batch_of(profile, path));
    for (const char* key : {"train.batch", "pipeline.schedule", "pipeline.micro_batches"}) wanted.erase(key);
  }
  profile.of.emplace("data.image",
                     fields_that_decide(RunConfig{}).at("data.image"));  // was not kept at first
  for (const auto& [key, value] : wanted) {
    const auto found = profile.of.find(key);
    if (found == profile.of.end() || found->second != value)
      throw Error(ErrorKind::config,
                  fmt::format("{}: a profile of something else: expected {}: {}, found {}", path.string(),
                              key, value, found == profile.of.end() ? "none" : found->second));
  }
  if (!is_whole(profile, plan.modules.size()))
    throw Error(ErrorKind::config, fmt::format("{}: expected measurements of {} modules, found others",
                                               path.string(), plan.modules.size()));
  return profile;
}

}  // namespace lamina
