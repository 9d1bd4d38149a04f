#include <gtest/gtest.h>

#include <cmath>

#include "nn/examples.hpp"

// The layers that only heads have.
namespace lamina {
namespace {

at::Tensor through(const LayerSpec::Op& op, const at::Tensor& x) {
  const FeatureShape in{x.size(1), x.size(2), x.size(3)};
  const at::Tensor y = Chain({{op}}, in, "", doubles()).forward(x, Mode::train);
  const FeatureShape out = cost(LayerSpec{op}, in).out;
  EXPECT_EQ(y.sizes().vec(), (std::vector<std::int64_t>{x.size(0), out.channels, out.height, out.width}));
  return y;
}

TEST(HeadLayers, UpsamplingMeetsTheCornersAndIsLinearBetween) {
  const at::Tensor x = batch_of(2, {3, 4, 4});
  const at::Tensor y = through(UpsampleBilinear{7}, x);  // every second place is one of x
  EXPECT_LT(distance(y.slice(2, 0, 7, 2).slice(3, 0, 7, 2), x), 1e-12);
  const at::Tensor between = (x.slice(2, 0, 3) + x.slice(2, 1, 4)).slice(3, 0, 3) +
                             (x.slice(2, 0, 3) + x.slice(2, 1, 4)).slice(3, 1, 4);
  EXPECT_LT(distance(y.slice(2, 1, 7, 2).slice(3, 1, 7, 2), between / 4), 1e-12);
}

TEST(HeadLayers, APoolAveragesEveryWholeKernel) {
  const at::Tensor x = batch_of(2, {3, 5, 4});
  const at::Tensor y = through(AvgPool{2}, x);
  for (std::int64_t i = 0; i < 2; ++i)
    for (std::int64_t j = 0; j < 2; ++j)
      EXPECT_LT(distance(y.select(2, i).select(2, j),
                         x.slice(2, 2 * i, 2 * i + 2).slice(3, 2 * j, 2 * j + 2).flatten(2).mean(2)),
                1e-12);
}

TEST(HeadLayers, TheSigmoidIsTheLogisticFunction) {
  const at::Tensor x = batch_of(2, {3, 4, 4});
  EXPECT_LT(distance(through(Sigmoid{}, x), 1 / (1 + (-x).exp())), 1e-12);
}

TEST(HeadLayers, TheyKeepTheMemoryFormat) {
  for (const at::MemoryFormat format : {at::MemoryFormat::ChannelsLast, at::MemoryFormat::Contiguous}) {
    const at::Tensor x = batch_of(2, {3, 4, 4}).contiguous(format);
    for (const LayerSpec::Op& op :
         {LayerSpec::Op{AvgPool{2}}, LayerSpec::Op{UpsampleBilinear{8}}, LayerSpec::Op{Sigmoid{}}}) {
      const at::Tensor y = through(op, x);
      EXPECT_TRUE(y.is_contiguous(format));
      EXPECT_LT(distance(y, through(op, x.contiguous())), 1e-12);
    }
  }
}

TEST(HeadLayers, AWeightMayBeginAtZeroAndThenTheBiasAloneSpeaks) {
  const Chain chain({{Linear{4, true}, "fc"}}, {6}, "", doubles());
  const Chain usual({{Linear{4}, "fc"}}, {6}, "", doubles());
  const auto tensors = by_name(chain.tensors());
  EXPECT_EQ(tensors.at("fc.weight").count_nonzero().item<std::int64_t>(), 0);
  EXPECT_TRUE(at::equal(tensors.at("fc.bias"), by_name(usual.tensors()).at("fc.bias")));
  EXPECT_TRUE(at::equal(chain.forward(noise({3, 6}, 1), Mode::train), tensors.at("fc.bias").expand({3, 4})));
}

}  // namespace
}  // namespace lamina
