#include "benchmark_main.hpp"
#include "lamina/train/engine.hpp"
#include "lamina/train/stop_request.hpp"

// `lamina train` with stages that sleep instead of computing, so that the machine's cores are no limit: under
// mpirun for what links cost that only processes on hosts of their own have.

namespace lamina {
namespace {

struct Options {
  std::vector<std::string> files;
  std::string out;
  double sleep_ms = 50;
};

void train(const Options& options) {
  install_stop_signals();
  ConfigText text = ConfigText::from_files(options.files);
  RunConfig config = read_run_config(text);
  if (!options.out.empty()) config.out = options.out;
  RunPlan plan = make_run_plan(std::move(config), mpi_launch());
  plan.stage_options.sleep_s = 1e-3 * options.sleep_ms;
  run(plan, {.stop_requested = stop_requested, .checkpoint_requested = checkpoint_requested});
}

void add_options(CLI::App& app, Options& options) {
  app.add_option("config", options.files)->required();
  app.add_option("--out", options.out);
  app.add_option("--sleep-ms", options.sleep_ms, "a step of a stage")->capture_default_str();
}

}  // namespace
}  // namespace lamina

int main(int argc, char** argv) {
  return lamina::benchmark_main<lamina::Options>(argc, argv, "A training run whose stages sleep",
                                                 lamina::add_options, lamina::train);
}
