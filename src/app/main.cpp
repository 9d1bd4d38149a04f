#include <fmt/format.h>

#include <cstdlib>

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

// Tensors of 2 MiB and more on huge pages, where the system gives them to those who ask (as Debian does): a
// step goes through hundreds of MiB, and workers that share a host wait for address translation as for
// memory. LibTorch looks at its first tensor; who starts us may say otherwise.
void ask_for_huge_pages() {
  ::setenv("THP_MEM_ALLOC_ENABLE", "1", /*overwrite=*/0);
}

}  // namespace

int main(int argc, char** argv) {
  ask_for_huge_pages();
  CLI::App app{"Lamina: deep networks as a pipeline of gradient-isolated stages"};
  app.set_version_flag("--version", lamina::version_text);
  app.require_subcommand(1);
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
    if (e.get_exit_code() == 0) return app.exit(e);  // help and version
    return fail(fmt::format("{}; --help tells what there is", e.what()).c_str(),
                static_cast<int>(lamina::ErrorKind::config));
  } catch (const std::exception& e) {
    const lamina::Error error = lamina::as_error(e);
    return fail(error.what(), error.exit_code());
  }
}
