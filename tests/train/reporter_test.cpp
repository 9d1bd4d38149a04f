#include "lamina/train/reporter.hpp"

#include <gtest/gtest.h>

#include "lamina/core/files.hpp"
#include "temporary_directory.hpp"

namespace lamina {
namespace {

std::string kept(std::int64_t start_step, bool start_evaluated) {
  const TemporaryDirectory directory;
  const auto metrics = directory.path() / "metrics.jsonl";
  write_file_atomically(metrics,
                        "{\"kind\":\"train\",\"step\":1}\n"
                        "{\"kind\":\"eval\",\"step\":2}\n"
                        "{\"kind\":\"train\",\"step\":2}\n"
                        "{\"kind\":\"tra");
  const Reporter reporter(
      {.directory = directory.path(), .start_step = start_step, .start_evaluated = start_evaluated});
  return read_file(metrics);
}

TEST(Reporter, LinesOfWhatAResumedRunDoesAgainAreDropped) {
  const std::string step = "{\"kind\":\"train\",\"step\":1}\n",
                    evaluation = "{\"kind\":\"eval\",\"step\":2}\n";
  EXPECT_EQ(kept(0, true), "");
  EXPECT_EQ(kept(2, true), step + evaluation);
  EXPECT_EQ(kept(2, false), step) << "it evaluates once more";
  EXPECT_EQ(kept(3, false), step + evaluation + "{\"kind\":\"train\",\"step\":2}\n");
}

}  // namespace
}  // namespace lamina
