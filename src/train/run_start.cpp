#include "run_start.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "lamina/core/error.hpp"
#include "lamina/core/log.hpp"

namespace lamina {
namespace {

namespace fs = std::filesystem;

// Fills the stages, or says what is wrong with the checkpoint.
std::optional<Error> load(const fs::path& checkpoint, std::vector<Stage>& stages, LoadedStart& loaded) {
  try {
    loaded.start = {checkpoint, read_manifest(checkpoint)};
    loaded.versions.clear();
    for (Stage& stage : stages)
      loaded.versions.push_back(load_stage(checkpoint, *loaded.start.manifest, stage));
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::checkpoint && error.kind() != ErrorKind::storage) throw;
    return error;
  } catch (const fs::filesystem_error& error) {
    return Error(ErrorKind::storage, error.what());
  }
  return std::nullopt;
}

}  // namespace

LoadedStart load_newest_whole(const std::vector<fs::path>& starts, std::vector<Stage>& stages,
                              Transport& transport, Seconds limit) {
  LoadedStart loaded;
  loaded.versions.resize(stages.size());
  for (std::size_t i = 0; i < starts.size(); ++i) {
    const std::optional<Error> damage = load(starts[i], stages, loaded);
    const std::vector<std::string> found = transport.all_gather(damage ? damage->what() : "", limit);
    const auto first =
        std::find_if(found.begin(), found.end(), [](const std::string& text) { return !text.empty(); });
    if (first == found.end()) return loaded;
    loaded.damaged.push_back(starts[i]);
    if (i + 1 < starts.size()) {
      if (transport.worker() == 0)
        log_warning(fmt::format("{}; going back to {}", *first, starts[i + 1].string()));
      continue;
    }
    const std::string text = starts.size() == 1
                                 ? *first
                                 : fmt::format("{}; of {} checkpoints none is whole", *first, starts.size());
    if (first - found.begin() == transport.worker()) throw Error(damage->kind(), text);
    throw Error(ErrorKind::peer_lost, text);
  }
  return loaded;
}

}  // namespace lamina
