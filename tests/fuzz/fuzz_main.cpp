// libFuzzer's end of the targets: --target=NAME chooses one and sets its bounds, --list names them all.
// Further flags and folders are libFuzzer's own.
#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "fuzz/fuzz_target.hpp"

namespace {

const lamina::FuzzTarget* chosen = nullptr;

[[noreturn]] void list(int exit_code) {
  for (const lamina::FuzzTarget& target : lamina::fuzz_targets()) fmt::print("{}\n", target.name);
  std::exit(exit_code);
}

void choose(const std::vector<std::string>& arguments) {
  for (const std::string& argument : arguments) {
    if (argument == "--list") list(0);
    for (const lamina::FuzzTarget& target : lamina::fuzz_targets())
      if (argument == fmt::format("--target={}", target.name)) chosen = &target;
  }
  if (chosen) return;
  fmt::print(stderr, "lamina_fuzz: expected --target= and one of these:\n");
  list(2);
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  static std::vector<std::string> words(*argv, *argv + *argc);
  choose(words);
  // Before the caller's own, which win. Standard error is closed to what the readers log, of every input.
  const std::vector<std::string> bounds = {fmt::format("-max_len={}", chosen->most_bytes),
                                           fmt::format("-malloc_limit_mb={}", chosen->most_mib),
                                           "-rss_limit_mb=1024", "-timeout=10", "-close_fd_mask=2"};
  words.insert(words.begin() + 1, bounds.begin(), bounds.end());
  static std::vector<char*> pointers;
  std::ranges::transform(words, std::back_inserter(pointers), [](std::string& word) { return word.data(); });
  *argc = static_cast<int>(pointers.size());
  pointers.push_back(nullptr);
  *argv = pointers.data();
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  chosen->takes({reinterpret_cast<const char*>(data), size});
  return 0;
}
