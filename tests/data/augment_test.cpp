#include "data/augment.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <map>
#include <tuple>

#include "data/data_files.hpp"
#include "data/random.hpp"

namespace lamina {
namespace {

constexpr ImageShape kShape{2, 5, 7};
const Recipe kRecipe{Recipe::Pad::reflect, 3, true, {0.25, 0.5}, {0.5, 0.125}};

Recipe with_pad(Recipe::Pad pad) {
  Recipe recipe = kRecipe;
  recipe.pad = pad;
  return recipe;
}

/// The same by ATen's own padding, cropping, flipping and arithmetic, in double precision.
at::Tensor reference(const Bytes& image, const Recipe& recipe, const Crop& crop) {
  const std::int64_t p = recipe.pad_pixels;
  at::Tensor x_CHW = at::tensor(at::ArrayRef<std::uint8_t>(image), at::kDouble).view({2, 5, 7});
  if (recipe.pad == Recipe::Pad::zero) x_CHW = at::constant_pad_nd(x_CHW, {p, p, p, p}, 0);
  if (recipe.pad == Recipe::Pad::reflect) x_CHW = at::reflection_pad2d(x_CHW, {p, p, p, p});
  x_CHW = x_CHW.narrow(1, crop.top, 5).narrow(2, crop.left, 7);
  if (crop.flip) x_CHW = x_CHW.flip({2});
  const at::Tensor mean = at::tensor(recipe.mean, at::kDouble).view({2, 1, 1});
  const at::Tensor std = at::tensor(recipe.std, at::kDouble).view({2, 1, 1});
  return (x_CHW / 255 - mean) / std;
}

at::Tensor written(const Augmenter& augmenter, const Bytes& image, const Crop& crop,
                   at::MemoryFormat format) {
  Bytes padded(static_cast<std::size_t>(augmenter.padded_shape().num_values()));
  augmenter.pad(image, padded);
  const at::Tensor x_BCHW = at::full({1, 2, 5, 7}, 99, at::kFloat).contiguous(format);
  augmenter.write(padded, crop, {x_BCHW.stride(1), x_BCHW.stride(2), x_BCHW.stride(3)},
                  x_BCHW.data_ptr<float>());
  return x_BCHW[0].to(at::kDouble);
}

TEST(Augmenter, EqualsTheReferenceForEveryPaddingCropFlipAndMemoryFormat) {
  const Bytes image = varied_bytes(2 * 5 * 7);
  for (const Recipe::Pad pad : {Recipe::Pad::zero, Recipe::Pad::reflect}) {
    const Augmenter augmenter(kShape, with_pad(pad), true);
    EXPECT_EQ(augmenter.padded_shape(), (ImageShape{2, 11, 13}));
    for (std::int64_t place = 0; place < 7 * 7 * 2; ++place) {
      const Crop crop{place / 14, place / 2 % 7, place % 2 == 1};
      for (const at::MemoryFormat format : {at::MemoryFormat::Contiguous, at::MemoryFormat::ChannelsLast}) {
        const at::Tensor expected = reference(image, with_pad(pad), crop);
        ASSERT_LT((written(augmenter, image, crop, format) - expected).abs().max().item<double>(), 1e-6)
            << "top " << crop.top << ", left " << crop.left << ", flip " << crop.flip;
      }
    }
  }
}

TEST(Augmenter, OnlyNormalisesWhenNotTraining) {
  const Bytes image = varied_bytes(2 * 5 * 7);
  const Augmenter augmenter(kShape, kRecipe, false);
  at::Philox4_32 engine = random_stream(0, RandomUse::augmentation);
  for (int i = 0; i < 100; ++i) {
    const at::Tensor x = written(augmenter, image, augmenter.draw(engine), at::MemoryFormat::ChannelsLast);
    ASSERT_LT((x - reference(image, with_pad(Recipe::Pad::none), {})).abs().max().item<double>(), 1e-6);
  }
}

TEST(Augmenter, DrawsEveryCropAndFlipEquallyOften) {
  Recipe recipe = kRecipe;
  recipe.pad_pixels = 1;
  const Augmenter augmenter(kShape, recipe, true);
  std::map<std::tuple<std::int64_t, std::int64_t, bool>, int> counts;
  for (std::int64_t item = 0; item < 18'000; ++item) {
    at::Philox4_32 engine = random_stream(0, RandomUse::augmentation, 0, item);
    const Crop crop = augmenter.draw(engine);
    ++counts[{crop.top, crop.left, crop.flip}];
  }
  ASSERT_EQ(counts.size(), 18U);
  // Five standard deviations of a count.
  for (const auto& [crop, count] : counts) EXPECT_NEAR(count, 1000, 155);
}

TEST(Augmenter, RejectsARecipeThatDoesNotFitTheImages) {
  Recipe few_means = kRecipe, no_spread = kRecipe, wide = kRecipe;
  few_means.mean = {0.5};
  no_spread.std = {0.5, 0};
  wide.pad_pixels = 5;
  for (const Recipe& recipe : {few_means, no_spread, wide}) {
    error_of(ErrorKind::contract, [&] { Augmenter(kShape, recipe, true); });
  }
}

}  // namespace
}  // namespace lamina
