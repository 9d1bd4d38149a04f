#include "lamina/core/log.hpp"

#include <fmt/format.h>
#include <spdlog/logger.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <algorithm>
#include <memory>
#include <utility>

namespace lamina {
namespace {

thread_local std::string label;

spdlog::logger& logger() {
  // Never destroyed: threads may log while the process's static objects are being destroyed.
  static spdlog::logger& the_logger = *[] {
    auto made = std::make_unique<spdlog::logger>("lamina", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->set_pattern("[%T.%e] [%l] %v");
    return made.release();
  }();
  return the_logger;
}

void log(spdlog::level::level_enum level, std::string_view message) {
  logger().log(level, "{}", labelled(label, message));
}

}  // namespace

void set_log_label(std::string text) {
  label = std::move(text);
}
const std::string& log_label() {
  return label;
}

std::string labelled(const std::string& who, std::string_view message) {
  const std::string_view behind = message.substr(std::min(who.size(), message.size()));
  const bool has_it = message.starts_with(who) && (behind.starts_with(' ') || behind.starts_with(':'));
  return who.empty() || has_it ? std::string(message) : fmt::format("{}: {}", who, message);
}

void log_info(std::string_view message) {
  log(spdlog::level::info, message);
}
void log_warning(std::string_view message) {
  log(spdlog::level::warn, message);
}
void log_error(std::string_view message) {
  log(spdlog::level::err, message);
}

}  // namespace lamina
