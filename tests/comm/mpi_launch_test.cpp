#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "lamina/comm/mpi.hpp"

namespace lamina {
namespace {

using Variables = std::vector<std::pair<std::string, std::string>>;

// The test's own launcher, if any, must not be seen.
MpiLaunch launch_with(const Variables& variables) {
  for (const char* known : {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "PMI_RANK", "PMI_SIZE",
                            "PMIX_RANK", "SLURM_NTASKS"}) {
    unsetenv(known);
  }
  for (const auto& [name, value] : variables) setenv(name.c_str(), value.c_str(), 1);
  return mpi_launch();
}

TEST(MpiLaunch, IsReadFromWhicheverLauncherSetIt) {
  const Variables launches[] = {
      {{"OMPI_COMM_WORLD_RANK", "3"}, {"OMPI_COMM_WORLD_SIZE", "4"}, {"PMIX_RANK", "3"}},
      {{"PMI_RANK", "3"}, {"PMI_SIZE", "4"}},
      {{"PMIX_RANK", "3"}, {"SLURM_NTASKS", "4"}},
  };
  for (const Variables& variables : launches) {
    const MpiLaunch launch = launch_with(variables);
    EXPECT_TRUE(launch.launched) << variables[0].first;
    EXPECT_EQ(launch.rank, 3);
    EXPECT_EQ(launch.size, 4);
  }
}

TEST(MpiLaunch, APlainStartIsOneProcessOfOne) {
  // Inside a Slurm allocation the tasks are counted also for a process that srun did not start.
  for (const Variables& variables : {Variables{}, Variables{{"SLURM_NTASKS", "4"}},
                                     Variables{{"PMI_RANK", "no number"}, {"PMI_SIZE", "4"}}}) {
    const MpiLaunch launch = launch_with(variables);
    EXPECT_FALSE(launch.launched);
    EXPECT_EQ(launch.rank, 0);
    EXPECT_EQ(launch.size, 1);
  }
}

}  // namespace
}  // namespace lamina
