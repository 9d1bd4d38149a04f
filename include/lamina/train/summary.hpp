#pragma once

#include <filesystem>
#include <string>

#include "lamina/train/engine.hpp"

namespace lamina {

/// summary.json, replaced atomically. Per worker: "peak_rss_mib", "account" (seconds by category, and what is
/// unaccounted), "stages". @throws Error{storage}
void write_summary(const std::filesystem::path& path, const RunSummary& summary);

/// Compute a training step of the worker that has most of it, by the stages' means.
double slowest_worker_s(const RunSummary& summary);

/// A worker's place, or its report, as the text that workers exchange, and back.
std::string to_text(const WorkerPlace& place);
WorkerPlace worker_place(const std::string& text);
std::string to_text(const WorkerReport& report);
WorkerReport worker_report(const std::string& text);

}  // namespace lamina
