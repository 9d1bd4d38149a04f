#include "lamina/nn/layer.hpp"

#include <gtest/gtest.h>

#include "lamina/core/error.hpp"

namespace lamina {
namespace {

TEST(Layer, AConvolutionCostsItsWeightsAtEveryPlaceOfItsOutput) {
  const LayerCost strided = cost(LayerSpec{Conv{8, 3, 2, 1}}, {4, 9, 6});
  EXPECT_EQ(strided.out, (FeatureShape{8, 5, 3}));
  EXPECT_EQ(strided.parameters, 8 * 4 * 3 * 3);
  EXPECT_EQ(strided.multiply_adds, 8 * 4 * 3 * 3 * 5 * 3);
  EXPECT_EQ(cost(LayerSpec{Conv{8, 3}}, {4, 9, 6}).out, (FeatureShape{8, 7, 4}));
}

TEST(Layer, AConvolutionLargerThanItsInputIsRefused) {
  EXPECT_EQ(cost(LayerSpec{Conv{1, 5, 1, 1}}, {1, 3, 3}).out, (FeatureShape{1, 1, 1}));
  for (const FeatureShape& small : {FeatureShape{1, 2, 3}, FeatureShape{1, 3, 2}}) try {
      cost(LayerSpec{Conv{1, 5, 1, 1}}, small);
      ADD_FAILURE();
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::config);
    }
}

TEST(Layer, AGroupOfAConvolutionSeesItsShareOfTheChannels) {
  const LayerCost grouped = cost(LayerSpec{Conv{8, 3, 1, 1, 2, true}}, {4, 9, 6});
  EXPECT_EQ(grouped.out, (FeatureShape{8, 9, 6}));
  EXPECT_EQ(grouped.parameters, 8 * 2 * 3 * 3 + 8);
  EXPECT_EQ(grouped.multiply_adds, 8 * 2 * 3 * 3 * 9 * 6);
  for (const Conv& uneven : {Conv{8, 3, 1, 1, 3}, Conv{6, 3, 1, 1, 4}}) try {
      cost(LayerSpec{uneven}, {4, 9, 6});
      ADD_FAILURE();
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::config);
    }
}

TEST(Layer, PoolingSlidesLikeAConvolutionAndCostsNothing) {
  const LayerCost pooled = cost(LayerSpec{MaxPool{3, 2, 1}}, {4, 9, 6});
  EXPECT_EQ(pooled.out, (FeatureShape{4, 5, 3}));
  EXPECT_EQ(pooled.parameters, 0);
  EXPECT_EQ(pooled.multiply_adds, 0);
  EXPECT_EQ(cost(LayerSpec{MaxPool{2, 2}}, {4, 9, 6}).out, (FeatureShape{4, 4, 3}));
  EXPECT_THROW(cost(LayerSpec{MaxPool{2, 2}}, {4, 1, 6}), Error);
}

TEST(Layer, LinearLayersAndNormsCountTheirBiases) {
  const LayerCost linear = cost(LayerSpec{Linear{10}}, {64});
  EXPECT_EQ(linear.out, (FeatureShape{10, 1, 1}));
  EXPECT_EQ(linear.parameters, 64 * 10 + 10);
  EXPECT_EQ(linear.multiply_adds, 64 * 10);
  EXPECT_EQ(cost(LayerSpec{BatchNorm{}}, {16, 4, 4}).parameters, 32);
}

TEST(Layer, ShapesPassThroughLayersWithoutTensors) {
  EXPECT_EQ(cost(LayerSpec{AdaptiveAvgPool{2}}, {3, 7, 5}).out, (FeatureShape{3, 2, 2}));
  EXPECT_EQ(cost(LayerSpec{Flatten{}}, {3, 7, 5}).out, (FeatureShape{105, 1, 1}));
  EXPECT_EQ(cost(LayerSpec{Relu{}}, {3, 7, 5}).out, (FeatureShape{3, 7, 5}));
}

TEST(Layer, PoolsLeaveOutWhatDoesNotFillAKernel) {
  EXPECT_EQ(cost(LayerSpec{AvgPool{2}}, {3, 7, 4}).out, (FeatureShape{3, 3, 2}));
  EXPECT_THROW(cost(LayerSpec{AvgPool{4}}, {3, 7, 3}), Error);
}

TEST(Layer, ShapesOfMapsThatAreMadeLarger) {
  EXPECT_EQ(cost(LayerSpec{UpsampleBilinear{9}}, {3, 4, 4}).out, (FeatureShape{3, 9, 9}));
  EXPECT_EQ(cost(LayerSpec{Sigmoid{}}, {3, 7, 5}).out, (FeatureShape{3, 7, 5}));
}

TEST(Layer, AChainCostsTheSumOfItsLayers) {
  const ChainSpec chain{{Conv{8, 3, 1, 1}, "a"}, {BatchNorm{}, "b"}, {Relu{}}, {Flatten{}}, {Linear{5}, "c"}};
  const LayerCost total = cost(chain, {2, 4, 4});
  EXPECT_EQ(total.out, (FeatureShape{5, 1, 1}));
  EXPECT_EQ(total.parameters, 8 * 2 * 9 + 16 + 128 * 5 + 5);
  EXPECT_EQ(total.multiply_adds, 8 * 2 * 9 * 16 + 128 * 5);
  EXPECT_EQ(cost(ChainSpec{}, {2, 4, 4}).out, (FeatureShape{2, 4, 4}));
}

}  // namespace
}  // namespace lamina
