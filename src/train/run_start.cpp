#include "run_start.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "checkpoint_format.hpp"
#include "lamina/core/error.hpp"
#include "lamina/core/files.hpp"
#include "lamina/core/log.hpp"

namespace lamina {
namespace {

namespace fs = std::filesystem;

// Why a checkpoint cannot be loaded.
struct Flaw {
  Error error;
  bool is_damage;  // else the checkpoint may be whole, and this build or the disk is what lacks
};

bool is_of_later_build(const fs::path& checkpoint) {
  const fs::path manifest = checkpoint / manifest_name;
  return fs::exists(manifest) && is_of_later_format(read_file(manifest));
}

// Fills the stages, or says what is wrong with the checkpoint.
std::optional<Flaw> load(const fs::path& checkpoint, std::vector<Stage>& stages, LoadedStart& loaded) {
  try {
    loaded.start = {checkpoint, read_manifest(checkpoint)};
    loaded.versions.clear();
    for (Stage& stage : stages)
      loaded.versions.push_back(load_stage(checkpoint, *loaded.start.manifest, stage));
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::checkpoint && error.kind() != ErrorKind::storage) throw;
    return Flaw{error, error.kind() == ErrorKind::checkpoint && !is_of_later_build(checkpoint)};
  } catch (const fs::filesystem_error& error) {
    return Flaw{as_error(error), /*is_damage=*/false};
  }
  return std::nullopt;
}

// The first text that a worker has for the others, and whose it is; none: an empty one.
std::pair<int, std::string> first_word(Transport& transport, const std::string& text, Seconds limit) {
  const std::vector<std::string> all = transport.all_gather(text, limit);
  const auto first =
      std::find_if(all.begin(), all.end(), [](const std::string& one) { return !one.empty(); });
  return {static_cast<int>(first - all.begin()), first == all.end() ? "" : *first};
}

[[noreturn]] void give_up(const std::optional<Flaw>& flaw, bool speaks, const std::string& text) {
  if (speaks) throw Error(flaw->error.kind(), text);
  throw Error(ErrorKind::peer_lost, text);
}

}  // namespace

LoadedStart load_newest_whole(const std::vector<fs::path>& starts, std::vector<Stage>& stages,
                              Transport& transport, Seconds limit) {
  LoadedStart loaded;
  loaded.versions.resize(stages.size());
  for (std::size_t i = 0; i < starts.size(); ++i) {
    const std::optional<Flaw> flaw = load(starts[i], stages, loaded);
    const auto [who, text] = first_word(transport, flaw ? flaw->error.what() : "", limit);
    if (text.empty()) return loaded;
    const bool is_obstacle = flaw && !flaw->is_damage;
    if (const auto [other, why] = first_word(transport, is_obstacle ? flaw->error.what() : "", limit);
        !why.empty())
      give_up(flaw, other == transport.worker(), why);
    loaded.damaged.push_back(starts[i]);
    if (i + 1 == starts.size())
      give_up(flaw, who == transport.worker(),
              starts.size() == 1 ? text
                                 : fmt::format("{}; of {} checkpoints none is whole", text, starts.size()));
    if (transport.worker() == 0)
      log_warning(fmt::format("{}; going back to {}", text, starts[i + 1].string()));
  }
  return loaded;
}

}  // namespace lamina
