#include "checkpoint_format.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "lamina/core/digest.hpp"
#include "lamina/core/error.hpp"
#include "train/plain_json.hpp"

namespace lamina {
namespace {

using Json = nlohmann::json;

}  // namespace

std::filesystem::path complete_path(const std::filesystem::path& directory, std::int64_t step) {
  return directory / fmt::format("{}{:08}", step_prefix, step);
}

std::filesystem::path partial_path(const std::filesystem::path& directory, const Packet& mark) {
  return complete_path(directory, mark.step).string() + (mark.kind == PacketKind::stop ? ".stop" : "") +
         partial_ending;
}

TensorList network_tensors(const Stage::Part& part) {
  TensorList list;
  for (const NamedTensor& entry : part.module.tensors()) list.emplace_back(entry.name, entry.tensor);
  return list;
}

TensorList tensors_beside(const Stage::Part& part) {
  TensorList list;
  std::size_t trained = 0;
  for (const NamedTensor& entry : part.module.tensors())
    if (entry.trained)
      list.emplace_back(momentum_prefix + entry.name, part.optimizer.momentum().at(trained++));
  if (part.older)
    for (const NamedTensor& entry : part.older->tensors())
      if (entry.trained) list.emplace_back(previous_prefix + entry.name, entry.tensor);
  return list;
}

TensorList checkpoint_tensors(const Stage::Part& part) {
  TensorList list = network_tensors(part);
  for (auto& entry : tensors_beside(part)) list.push_back(std::move(entry));
  return list;
}

std::vector<std::string> module_parts(const Stage& stage, const Module& module) {
  std::vector<std::string> parts{window_part_name(module.spec().index)};
  for (const Module::Ema& ema : module.emas()) parts.push_back(ema_part(ema.block));
  const std::vector<std::string>& published = stage.spec().published;
  std::erase_if(parts, [&](const std::string& part) {
    return std::find(published.begin(), published.end(), part) == published.end();
  });
  return parts;
}

std::string version_name(const std::string& part, std::int64_t version, std::size_t i) {
  return fmt::format("version.{}.{}.{}", version, part, i);
}

std::string seal(const Manifest& manifest) {
  Json body = manifest;
  body["format"] = checkpoint_format_version;
  return Json{{"body", body}, {"sha256", sha256_hex(body.dump())}}.dump(2) + "\n";
}

namespace {

// @throws std::exception if the text is not what was sealed.
Json verified_body(const std::string& text) {
  const Json sealed = parse_plain(text);
  const std::string found = sha256_hex(sealed.at("body").dump());
  if (sealed.at("sha256") != found)
    throw std::invalid_argument(fmt::format("checksum {}, found {}", sealed.at("sha256").dump(), found));
  return sealed.at("body");
}

// A body of an earlier format as one of this build's. @throws Error{checkpoint} for a later one.
void upgrade(Json& body, const std::filesystem::path& path) {
  const int format = body.at("format").get<int>();
  if (format < 1 || format > checkpoint_format_version)
    throw Error(
        ErrorKind::checkpoint,
        fmt::format("{}: expected a checkpoint of format 1 to {}, found format {}: another version of "
                    "Lamina wrote it",
                    path.string(), checkpoint_format_version, format));
  if (format < 2)  // there were no snapshots yet
    for (Json& module : body.at("modules")) module["versions"] = Json::array();
  if (format < 3) body["rollbacks"] = 0;  // nor could a run go back
}

}  // namespace

bool is_of_later_format(const std::string& sealed) {
  try {
    return verified_body(sealed).at("format").get<int>() > checkpoint_format_version;
  } catch (const std::exception&) {
    return false;
  }
}

Manifest unseal(const std::string& text, const std::filesystem::path& path) {
  try {
    Json body = verified_body(text);
    upgrade(body, path);
    auto manifest = body.get<Manifest>();
    for (const ModuleFile& module : manifest.modules)
      if (module.file.empty() || std::filesystem::path(module.file).filename() != module.file)
        throw std::invalid_argument(
            fmt::format("the name of a file beside it, found {}", Json(module.file).dump()));
    return manifest;
  } catch (const Error&) {
    throw;
  } catch (const std::exception& e) {
    throw Error(ErrorKind::checkpoint,
                fmt::format("{}: the manifest is damaged: expected {}", path.string(), e.what()));
  }
}

}  // namespace lamina
