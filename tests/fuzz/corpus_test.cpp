#include <gmock/gmock.h>

#include <filesystem>
#include <string>
#include <vector>

#include "fuzz/fuzz_target.hpp"
#include "lamina/core/files.hpp"

namespace lamina {
namespace {

namespace fs = std::filesystem;

struct Input {
  fs::path file;
  bool taken;
};

/// What a target says of every input of its corpus.
std::vector<Input> inputs_of(const FuzzTarget& target) {
  std::vector<Input> inputs;
  for (const auto& entry : fs::directory_iterator(fs::path(LAMINA_CORPUS) / target.name)) {
    SCOPED_TRACE(entry.path().string());
    const std::string bytes = read_file(entry.path());
    EXPECT_LE(bytes.size(), target.most_bytes) << "libFuzzer would cut it";
    bool taken = false;
    EXPECT_NO_THROW(taken = target.takes(bytes));
    inputs.push_back({entry.path(), taken});
  }
  return inputs;
}

struct Corpus : testing::TestWithParam<FuzzTarget> {};

// Were there none that is taken, nothing behind the first check would be tried; names that begin with "bad-"
// are refused, those with "good-" are taken, and others were found by chance.
TEST_P(Corpus, IsTakenOrRefusedAndNothingElseHappens) {
  int num_good = 0, num_bad = 0;
  for (const Input& input : inputs_of(GetParam())) {
    const std::string name = input.file.filename().string();
    if (name.starts_with("good-")) {
      EXPECT_TRUE(input.taken) << name;
      ++num_good;
    }
    if (name.starts_with("bad-")) {
      EXPECT_FALSE(input.taken) << name;
      ++num_bad;
    }
  }
  EXPECT_GT(num_good, 0);
  EXPECT_GT(num_bad, 0);
}

INSTANTIATE_TEST_SUITE_P(Fuzz, Corpus, testing::ValuesIn(fuzz_targets().begin(), fuzz_targets().end()),
                         [](const auto& each) { return std::string(each.param.name); });

TEST(CorpusFolders, AreThoseOfTheTargets) {
  std::vector<std::string> folders, names;
  for (const auto& entry : fs::directory_iterator(LAMINA_CORPUS)) folders.push_back(entry.path().filename());
  for (const FuzzTarget& target : fuzz_targets()) names.emplace_back(target.name);
  EXPECT_THAT(folders, testing::UnorderedElementsAreArray(names));
}

}  // namespace
}  // namespace lamina
