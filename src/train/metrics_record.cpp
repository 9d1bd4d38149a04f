#include "metrics_record.hpp"

#include <algorithm>
#include <limits>

#include "lamina/core/process.hpp"

namespace lamina {
namespace {

using Json = nlohmann::json;

bool has_two_losses(const ModuleReport& module) {
  return module.losses.size() > 1;
}

// One entry a module in each list: of its last branch, which is the one that its window trains by.
void add_losses(Json& record, const ModuleReport& module, std::int64_t samples) {
  const LossReport none{.branch = "", .loss = std::numeric_limits<double>::quiet_NaN(), .correct = -1};
  const LossReport& last = module.losses.empty() ? none : module.losses.back();
  record["loss"].push_back(last.loss);
  record["accuracy"].push_back(
      last.correct < 0 ? Json() : Json(static_cast<double>(last.correct) / static_cast<double>(samples)));
}

// Of the independent branch, where that is another than the last.
void add_independent_losses(Json& record, const std::vector<ModuleReport>& modules) {
  if (std::none_of(modules.begin(), modules.end(), has_two_losses)) return;
  for (const ModuleReport& module : modules)
    record["loss_independent"].push_back(has_two_losses(module) ? Json(module.losses.front().loss) : Json());
}

double number(const Json& value) {
  return value.is_number() ? value.get<double>() : unknown;  // null is what is not a number
}

// An entry of a list by module or stage; unknown where the line has none.
double number(const Json& record, const char* key, std::size_t index) {
  const auto list = record.find(key);
  return list == record.end() || index >= list->size() ? unknown : number(list->at(index));
}

void add(StageFigures& stage, const Json& record, std::size_t index, double step_s) {
  stage.worker = record.at("worker").at(index);
  stage.compute_s += number(record, "busy", index) * step_s;
  stage.input_s += number(record, "input_wait_s", index);
  stage.room_s += number(record, "room_wait_s", index);
  stage.snapshot_s += number(record, "snapshot_wait_s", index);
  stage.replicas_s += number(record, "replica_wait_s", index);
  stage.skipped_steps += number(record, "skipped", index);
  stage.snapshot_age_steps = number(record, "snapshot_age", index);
  stage.memory_bytes = number(record, "memory_mib", index) * mib;
  stage.device_memory_bytes = number(record, "device_memory_mib", index) * mib;
}

}  // namespace

Json train_record(const Packet& packet, double step_s, const RunFigures& run) {
  Json record = {{"kind", "train"},
                 {"step", packet.step},
                 {"planned_steps", packet.total_steps},
                 {"epoch", packet.epoch},
                 {"lr", packet.lr},
                 {"step_s", step_s},
                 {"images_per_s", static_cast<double>(packet.samples()) / step_s},
                 {"rss_mib", resident_mib()}};
  for (const ModuleReport& module : packet.modules) add_losses(record, module, packet.samples());
  add_independent_losses(record, packet.modules);
  for (const ModuleFigures& module : run.modules) record["stage"].push_back(module.stage);
  for (const StageFigures& stage : run.stages) record["worker"].push_back(stage.worker);
  for (const StageReport& stage : packet.stages) {
    record["busy"].push_back(stage.compute_s / step_s);
    record["input_wait_s"].push_back(stage.input_wait_s);
    record["room_wait_s"].push_back(stage.room_wait_s);
    record["snapshot_wait_s"].push_back(stage.snapshot_wait_s);
    record["replica_wait_s"].push_back(stage.replica_wait_s);
    record["checkpoint_wait_s"].push_back(stage.checkpoint_wait_s);
    record["snapshot_age"].push_back(stage.age_steps);
    record["skipped"].push_back(stage.skipped ? 1 : 0);
    record["memory_mib"].push_back(stage.memory_mib);
    record["device_memory_mib"].push_back(stage.device_memory_mib);
  }
  return record;
}

Json eval_record(const Packet& packet, double accuracy, double loss, std::int64_t images) {
  return {{"kind", "eval"},    {"step", packet.step}, {"epoch", packet.epoch}, {"test_accuracy", accuracy},
          {"test_loss", loss}, {"images", images}};
}

void add_record(RunFigures& figures, const Json& record) {
  const std::string kind = record.at("kind");
  if (kind == "eval") {
    figures.test_accuracy = number(record.at("test_accuracy"));
    figures.test_loss = number(record.at("test_loss"));
  }
  if (kind != "train") return;
  const double step_s = record.at("step_s");
  figures.step = record.at("step").get<double>() + 1;
  record.at("planned_steps").get_to(figures.planned_steps);
  record.at("epoch").get_to(figures.epoch);
  record.at("lr").get_to(figures.lr);
  record.at("images_per_s").get_to(figures.images_per_s);
  figures.steps += 1;
  figures.images += figures.images_per_s * step_s;
  figures.seconds += step_s;
  figures.modules.resize(record.at("stage").size());
  for (std::size_t i = 0; i < figures.modules.size(); ++i)
    figures.modules[i] = {.stage = record.at("stage").at(i),
                          .loss = number(record, "loss", i),
                          .independent_loss = number(record, "loss_independent", i),
                          .accuracy = number(record, "accuracy", i)};
  figures.stages.resize(record.at("worker").size());
  for (std::size_t i = 0; i < figures.stages.size(); ++i) add(figures.stages[i], record, i, step_s);
}

}  // namespace lamina
