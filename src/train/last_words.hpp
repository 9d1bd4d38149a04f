#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "beat_link.hpp"
#include "lamina/core/error.hpp"
#include "lamina/pipeline/whereabouts.hpp"
#include "lamina/train/run_plan.hpp"

namespace lamina {

/// "worker 2 (pid 4242 on n2)"; of a run of threads, whose process everybody knows, "worker 2".
std::string text(int worker, const std::vector<WorkerName>& names);

/// Who ended the run, where and how: "worker 2 (pid 4242 on n2) lost at step 1234 in recv from stage 1: ...".
std::string text(const Sentence& sentence, const std::vector<WorkerName>& names);

/// What the process that hears it ends with.
ErrorKind kind_of(const Sentence& sentence);

/// What a worker had to do with its lanes, a line each.
std::string lanes_text(const RunPlan& plan, int worker, const ActionBoard& board);

/// Puts what this process's workers had to do behind what is in the file of where its first one was,
/// OUT/where-they-were/worker-N.txt, and then, if it hangs, the stacks of all threads, which take a while;
/// without `out` those are logged. What hangs is likely the disk: waits for 10 s, and else leaves a thread
/// behind that goes on. What cannot be written is logged.
void write_down(const std::filesystem::path& out, int worker, std::string words, bool hangs);

}  // namespace lamina
