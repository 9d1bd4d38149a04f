#pragma once

#include <CLI/CLI.hpp>
#include <iostream>

#include "lamina/core/error.hpp"

// What the benchmarks share that run whole pipelines.

namespace lamina {

/// main(): options from the command line, then the benchmark. `add_options(CLI::App&, Options&)`,
/// `run(Options)`.
template <class Options, class AddOptions, class Run>
int benchmark_main(int argc, char** argv, const char* says, const AddOptions& add_options, const Run& run) {
  CLI::App app(says);
  Options options;
  add_options(app, options);
  CLI11_PARSE(app, argc, argv);
  try {
    run(options);
  } catch (const Error& error) {
    std::cerr << error.what() << '\n';
    return error.exit_code();
  }
  return 0;
}

}  // namespace lamina
