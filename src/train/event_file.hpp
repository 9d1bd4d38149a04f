#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string_view>

namespace lamina {

/// A TensorBoard event file: TFRecords (length, masked CRC-32C, bytes, masked CRC-32C) of `tensorflow.Event`
/// messages (event.proto, summary.proto), scalars only.
class EventFile {
 public:
  /// A new file of this process in `directory`. What older files there say of `start_step` and later is
  /// withdrawn: those steps are done again. @throws Error{storage}
  EventFile(const std::filesystem::path& directory, std::int64_t start_step);

  /// The scalars of a line of metrics.jsonl: "loss/module_3", "busy/stage_0", "lr", "test_accuracy".
  /// @throws Error{storage} once the disk takes no more.
  void add(const nlohmann::json& record);
  void flush();

 private:
  void write_event(std::string_view event);

  std::filesystem::path path_;
  std::ofstream out_;
};

}  // namespace lamina
