#include <fmt/format.h>

#include "commands.hpp"
#include "lamina/comm/mpi.hpp"
#include "lamina/core/error.hpp"
#include "lamina/core/log.hpp"
#include "version.hpp"

namespace {

// Every rank of an MPI job finds the same fault in a configuration; one of them says so. What a host lacks,
// its first rank does.
int fail(const char* message, int exit_code) {
  const lamina::MpiLaunch launch = lamina::mpi_launch();
  const bool lacks = exit_code == static_cast<int>(lamina::ErrorKind::device);
  if (launch.rank == 0 || (lacks && launch.local_rank == 0)) lamina::log_error(message);
  return exit_code;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Lamina: deep networks as a pipeline of gradient-isolated stages"};
  app.set_version_flag("--version", lamina::version_text);
  app.require_subcommand(1);
  app.failure_message([](const CLI::App*, const CLI::Error& e) {
    return fmt::format("lamina: {}; --help tells what there is\n", e.what());
  });
  lamina::add_train_command(app);
  lamina::add_eval_command(app);
  lamina::add_show_command(app);
  lamina::add_plan_command(app);
  lamina::add_simulate_command(app);
  lamina::add_step_command(app);
  lamina::add_export_command(app);
  lamina::add_verify_command(app);
  lamina::add_bench_command(app);
  lamina::add_study_command(app);
  lamina::add_top_command(app);
  lamina::add_completion_command(app);
  try {
    app.parse(argc, argv);
    return 0;
  } catch (const CLI::ParseError& e) {
    // Help and version come this way too, with code 0.
    return app.exit(e) == 0 ? 0 : static_cast<int>(lamina::ErrorKind::config);
  } catch (const std::exception& e) {
    const lamina::Error error = lamina::as_error(e);
    return fail(error.what(), error.exit_code());
  }
}
