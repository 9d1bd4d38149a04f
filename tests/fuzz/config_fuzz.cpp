#include <optional>
#include <utility>

#include "fuzz/fuzz_target.hpp"
#include "lamina/train/run_config.hpp"

namespace lamina {
namespace {

std::string printed(ConfigText text) {
  return to_yaml(list_fields(read_run_config(text)));
}

// What was taken is printed as a text that reads back to the same.
bool takes(ConfigText text) {
  std::string once;
  if (!taken([&] { once = printed(std::move(text)); })) return false;
  require(printed(ConfigText::from_text(once, "printed")) == once,
          "a configuration changes when it is printed");
  return true;
}

}  // namespace

// The bytes are a file's, and a --set's.
bool fuzz_config(std::string_view bytes) {
  const std::string input(bytes);
  std::optional<ConfigText> file, override;
  taken([&] { file = ConfigText::from_text(input, "input"); });
  taken([&] {
    ConfigText text = ConfigText::from_text("", "nothing");
    text.set(input);
    override = std::move(text);
  });
  const bool takes_file = file && takes(std::move(*file));
  const bool takes_override = override && takes(std::move(*override));
  return takes_file || takes_override;
}

}  // namespace lamina
