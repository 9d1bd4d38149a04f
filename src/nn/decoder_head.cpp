#include "decoder_head.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "classification_head.hpp"
#include "lamina/core/error.hpp"

namespace lamina {
namespace {

// A convolution of a map that was brought to `side` first.
struct Rung {
  std::int64_t side;
  std::int64_t channels;
  std::int64_t kernel;
};

// For large images the map grows by two at a time while it loses channels. The widths for 512 and for 1024
// channels are published; others lie on the same line.
std::vector<Rung> rungs(const FeatureShape& in, const FeatureShape& picture, bool large) {
  const std::int64_t side = picture.height;
  if (!large) return {{side, 12, 3}, {side, picture.channels, 3}};
  std::vector<Rung> ladder{{in.height, std::clamp<std::int64_t>(in.channels / 4, 32, 192), 1}};
  if (in.channels >= 1024) ladder.push_back({side / 8, 64, 1});
  ladder.insert(ladder.end(), {{side / 4, 32, 3}, {side / 2, 12, 3}, {side, picture.channels, 3}});
  return ladder;
}

ChainSpec decoder(const FeatureShape& in, const FeatureShape& picture, bool large) {
  ChainSpec chain;
  std::int64_t side = in.height;
  int number = 0;
  for (const Rung& rung : rungs(in, picture, large)) {
    if (number > 0) {
      chain.push_back({BatchNorm{}, fmt::format("bn{}", number)});
      chain.push_back({Relu{}});
    }
    if (rung.side != side) chain.push_back({UpsampleBilinear{rung.side}});
    side = rung.side;
    chain.push_back({Conv{rung.channels, rung.kernel, 1, rung.kernel / 2}, fmt::format("conv{}", ++number)});
  }
  chain.push_back({Sigmoid{}});
  return chain;
}

void check_quarters(const FeatureShape& in, const FeatureShape& image) {
  for (const FeatureShape& map : {in, image})
    if (map.height % 2 != 0 || map.width % 2 != 0)
      throw Error(
          ErrorKind::config,
          fmt::format("a decoder for every quarter of the image: expected even sides, found images of "
                      "{}x{} and features of {}x{}",
                      image.height, image.width, in.height, in.width));
}

}  // namespace

std::vector<HeadTerm> decoder_terms(const HeadPlace& place, double weight, bool by_quarters) {
  const FeatureShape& image = place.backbone.blocks.front().in;
  if (image.height != image.width)
    throw Error(ErrorKind::config,
                fmt::format("a decoder: expected square images, found {}x{}", image.height, image.width));
  if (by_quarters) check_quarters(place.in, image);
  std::vector<HeadTerm> terms;
  for (int q = by_quarters ? 0 : -1; q < (by_quarters ? 4 : 0); ++q) {
    HeadTerm term{.name = by_quarters ? fmt::format("decoder.{}.", q) : "decoder.",
                  .loss = LossKind::reconstruction,
                  .weight = weight,
                  .quadrant = q};
    term.layers = decoder(seen_by(term, place.in), seen_by(term, image), is_large(image));
    terms.push_back(std::move(term));
  }
  return terms;
}

}  // namespace lamina
