#include <cstring>

#include "fuzz/fuzz_target.hpp"
#include "train/beat_numbers.hpp"

namespace lamina {
namespace {

// One beat or sentence: those of a link are of the length that was agreed on, before they come here.
template <class Said>
bool takes(std::string_view bytes, Said (*decode)(const std::int64_t*)) {
  BeatNumbers numbers = numbers_of(Said());
  if (bytes.size() != numbers.size() * sizeof(std::int64_t)) return false;
  std::memcpy(numbers.data(), bytes.data(), bytes.size());
  Said said;
  if (!taken([&] { said = decode(numbers.data()); })) return false;
  require(!text(said.where).empty(), "a place that has no words");
  require(to_numbers(decode(numbers_of(said).data()).where) == to_numbers(said.where),
          "a place changes on its way");
  return true;
}

}  // namespace

// What a worker hears of another at a time: 'b' for a beat, 's' for a sentence, and its numbers.
bool fuzz_beats(std::string_view bytes) {
  if (bytes.starts_with('b')) return takes<WorkerBeat>(bytes.substr(1), beat_of);
  if (bytes.starts_with('s')) return takes<Sentence>(bytes.substr(1), sentence_of);
  return false;
}

}  // namespace lamina
