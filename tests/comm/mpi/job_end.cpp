// A small MPI job that ends in the way that its argument names; job_end_test.py looks at how.
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <functional>
#include <map>
#include <string>

#include "lamina/comm/mpi.hpp"
#include "lamina/core/error.hpp"

namespace {

using lamina::Seconds;
using lamina::Transport;

constexpr int exit_code = 42;

// Worker 0 ends the job while worker 1 waits for a message, and the others for worker 1 to gather.
void wait_for_ever(Transport& transport) {
  if (transport.worker() == 1) transport.receive(0)->wait(Seconds(600));
  transport.all_gather("", Seconds(600));
}

void abort_job(Transport& transport) {
  if (transport.worker() != 0) return wait_for_ever(transport);
  transport.abort("worker 0 has had enough", exit_code);
  try {
    transport.all_gather("", Seconds(600));
  } catch (const lamina::Error& error) {
    std::fprintf(stderr, "%s: %s\n", std::string(name(error.kind())).c_str(), error.what());
  }
}

void kill_worker(Transport& transport) {
  if (transport.worker() != 0) return wait_for_ever(transport);
  raise(SIGKILL);
}

// A receive posted ahead is left behind, and so is the send that its peer had no room to match.
void leave_early(Transport& transport) {
  if (transport.worker() == 1) transport.receive(0);
  if (transport.worker() == 1) transport.send(1, {});
  transport.all_gather("", Seconds(60));
}

void open_unlike_lanes(Transport& transport) {
  try {
    transport.open({{.from = 0, .to = 1, .tensors = {}, .buffers = 2 + transport.worker()}});
  } catch (const lamina::Error& error) {
    std::fprintf(stderr, "worker %d: %s\n", transport.worker(), error.what());
  }
}

// The last worker does not come; the others say so and end the job.
void gather_without_the_last(Transport& transport, const std::function<void()>& keep_away) {
  if (transport.worker() == transport.num_workers() - 1) return keep_away();
  try {
    transport.all_gather("", Seconds(1));
  } catch (const lamina::Error& error) {
    std::fprintf(stderr, "%s: %s\n", std::string(name(error.kind())).c_str(), error.what());
    transport.abort(error.what(), exit_code);
    pause();
  }
}

void stick(Transport& transport) {
  gather_without_the_last(transport, [] { pause(); });
}

void stop(Transport& transport) {
  gather_without_the_last(transport, [] { raise(SIGSTOP); });
}

// The last worker does not even start MPI.
void start_without_the_last() {
  if (lamina::mpi_launch().rank == lamina::mpi_launch().size - 1) raise(SIGSTOP);
  try {
    lamina::make_mpi_transport(Seconds(1));
  } catch (const lamina::Error& error) {
    std::fprintf(stderr, "%s: %s\n", std::string(name(error.kind())).c_str(), error.what());
    _exit(exit_code);
  }
}

}  // namespace

int main(int, char** argv) {
  const std::map<std::string, std::function<void(Transport&)>> ends{
      {"abort", abort_job}, {"kill", kill_worker},         {"leave", leave_early},
      {"stick", stick},     {"unlike", open_unlike_lanes}, {"stop", stop}};
  const std::string end = argv[1];
  if (end == "late") start_without_the_last();
  const auto transport = lamina::make_mpi_transport();
  if (end != "unlike")
    transport->open({{.from = 0, .to = 1, .tensors = {}}, {.from = 1, .to = 0, .tensors = {}}});
  ends.at(end)(*transport);
  return 0;
}
