#include "nn/loss.hpp"

#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "nn/examples.hpp"

namespace lamina {
namespace {

using Rows = std::vector<std::vector<double>>;

Rows rows_of(const at::Tensor& values) {
  Rows rows;
  for (std::int64_t b = 0; b < values.size(0); ++b) {
    const at::Tensor row = values[b].contiguous().to(at::kDouble);
    rows.emplace_back(row.data_ptr<double>(), row.data_ptr<double>() + row.numel());
  }
  return rows;
}

double loss_of(LossKind kind, const at::Tensor& output, const Targets& targets, int quadrant = -1) {
  return term_loss({.loss = kind, .quadrant = quadrant, .num_classes = 10}, output, targets).item<double>();
}

double dot(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

double cosine(const std::vector<double>& a, const std::vector<double>& b) {
  return dot(a, b) / std::sqrt(dot(a, a) * dot(b, b));
}

double mean_of(const std::vector<double>& row) {
  return dot(row, std::vector<double>(row.size(), 1.0)) / static_cast<double>(row.size());
}

TEST(Loss, CrossEntropyIsTheMeanOfTheLabelsNegativeLogProbabilities) {
  const at::Tensor output = noise({6, 10}, 1);
  const Targets targets{.y_B = labels_of(6)};
  double expected = 0;
  for (std::int64_t b = 0; b < 6; ++b)
    expected -=
        at::log(output[b].exp() / output[b].exp().sum())[targets.y_B[b].item<std::int64_t>()].item<double>() /
        6;
  EXPECT_NEAR(loss_of(LossKind::cross_entropy, output, targets), expected, 1e-12);
}

// The formula of docs/method.md, Heads and losses, sum by sum.
double contrast_by_loops(const at::Tensor& features, const std::vector<std::int64_t>& y) {
  const Rows z = rows_of(features);
  double sum = 0;
  int num_with_positives = 0;
  for (std::size_t i = 0; i < z.size(); ++i) {
    double others = 0, positives = 0;
    int num_positives = 0;
    for (std::size_t a = 0; a < z.size(); ++a)
      if (a != i) others += std::exp(cosine(z[i], z[a]) / 0.07);
    for (std::size_t p = 0; p < z.size(); ++p) {
      if (p == i || y[p] != y[i]) continue;
      positives += cosine(z[i], z[p]) / 0.07 - std::log(others);
      ++num_positives;
    }
    if (num_positives == 0) continue;
    sum += positives / num_positives;
    ++num_with_positives;
  }
  return -sum / num_with_positives;
}

TEST(Loss, ContrastIsTheFormulasOverThoseThatHaveACompanion) {
  for (const std::vector<std::int64_t>& y :
       {std::vector<std::int64_t>{0, 1, 0, 1, 1, 0}, std::vector<std::int64_t>{0, 0, 0, 2, 1, 1}}) {
    const at::Tensor features = noise({6, 5}, 3);
    EXPECT_NEAR(loss_of(LossKind::contrast, features, {.y_B = at::tensor(y, at::kLong)}),
                contrast_by_loops(features, y), 1e-10);
  }
}

TEST(Loss, ContrastWithoutAnyCompanionIsZero) {
  const at::Tensor features = noise({3, 5}, 3).requires_grad_(true);
  for (std::int64_t samples = 1; samples <= 3; ++samples) {
    const at::Tensor loss = term_loss({.loss = LossKind::contrast}, features.slice(0, 0, samples),
                                      {.y_B = at::arange(samples, at::kLong)});
    EXPECT_EQ(loss.item<double>(), 0);
    EXPECT_EQ(torch::autograd::grad({loss}, {features}).front().abs().max().item<double>(), 0);
  }
}

TEST(Loss, ContrastLooksAtDirectionsAlone) {
  const at::Tensor features = noise({6, 5}, 3);
  const Targets targets{.y_B = labels_of(6, 3)};
  const double loss = loss_of(LossKind::contrast, features, targets);
  const at::Tensor lengths = at::arange(1, 7, at::kDouble).unsqueeze(1);
  EXPECT_NEAR(loss_of(LossKind::contrast, features * lengths, targets), loss, 1e-10);
  const at::Tensor order = at::tensor({3, 1, 5, 0, 2, 4}, at::kLong);
  EXPECT_NEAR(loss_of(LossKind::contrast, features.index_select(0, order),
                      {.y_B = targets.y_B.index_select(0, order)}),
              loss, 1e-10);
}

TEST(Loss, ContrastOfFloatsIsFiniteWhereSamplesCoincide) {
  const at::Tensor features = at::ones({4, 5}, at::kFloat);
  EXPECT_NEAR(loss_of(LossKind::contrast, features, {.y_B = at::zeros({4}, at::kLong)}), std::log(3.0), 1e-5);
}

TEST(Loss, ReconstructionIsTheMeanBinaryCrossEntropyOfEveryValue) {
  const FeatureShape shape{3, 6, 6};
  const at::Tensor output = at::sigmoid(batch_of(2, shape));
  const at::Tensor bytes = (at::sigmoid(batch_of(2, shape, 2)) * 255).to(at::kByte);
  const std::vector<double> o = rows_of(output.reshape({1, -1})).front();
  const std::vector<double> t = rows_of(bytes.reshape({1, -1})).front();
  double expected = 0;
  for (std::size_t i = 0; i < o.size(); ++i)
    expected -=
        (t[i] / 255 * std::log(o[i]) + (1 - t[i] / 255) * std::log(1 - o[i])) / static_cast<double>(o.size());
  const Targets of_bytes{.y_B = {}, .image_BCHW = bytes};
  const Targets of_reals{.y_B = {}, .image_BCHW = bytes.to(at::kDouble) / 255};
  EXPECT_NEAR(loss_of(LossKind::reconstruction, output, of_bytes), expected, 1e-12);
  EXPECT_NEAR(loss_of(LossKind::reconstruction, output, of_reals), expected, 1e-12);
}

TEST(Loss, QuartersTogetherAreTheWholeRowByRow) {
  const at::Tensor map = batch_of(2, {3, 6, 4});
  const at::Tensor upper = at::cat({quarter(map, 0), quarter(map, 1)}, 3);
  const at::Tensor lower = at::cat({quarter(map, 2), quarter(map, 3)}, 3);
  EXPECT_TRUE(at::equal(at::cat({upper, lower}, 2), map));
  EXPECT_TRUE(at::equal(quarter(map, -1), map));

  const at::Tensor output = at::sigmoid(map);
  const Targets targets{.y_B = {}, .image_BCHW = at::sigmoid(batch_of(2, {3, 6, 4}, 2))};
  double sum = 0;
  for (int q = 0; q < 4; ++q) sum += loss_of(LossKind::reconstruction, quarter(output, q), targets, q);
  EXPECT_NEAR(sum / 4, loss_of(LossKind::reconstruction, output, targets), 1e-12);
}

// Rows as docs/method.md, Heads and losses, makes them of feature maps: the deviation of every channel over
// its places.
Rows deviations(const at::Tensor& map_BCHW) {
  Rows rows;
  for (std::int64_t b = 0; b < map_BCHW.size(0); ++b) {
    rows.emplace_back();
    for (const std::vector<double>& places : rows_of(map_BCHW[b])) {
      const double mean = mean_of(places);
      double squares = 0;
      for (const double value : places) squares += (value - mean) * (value - mean);
      rows.back().push_back(std::sqrt(squares / static_cast<double>(places.size() - 1)));
    }
  }
  return rows;
}

double similarity_by_loops(Rows rows, std::size_t a, std::size_t b) {
  for (std::vector<double>& row : rows) {
    const double mean = mean_of(row);
    for (double& value : row) value -= mean;
  }
  // A norm is enlarged by 1e-8, so that a row of zeros has none of its own.
  const auto norm = [](const std::vector<double>& row) {
    return 1e-8 + std::sqrt(std::inner_product(row.begin(), row.end(), row.begin(), 0.0));
  };
  const double product = std::inner_product(rows[a].begin(), rows[a].end(), rows[b].begin(), 0.0);
  return std::clamp(product / (norm(rows[a]) * norm(rows[b])), -1.0, 1.0);
}

TEST(Loss, SimilarityIsTheMeanSquareBetweenTheCosinesOfFeaturesAndLabels) {
  const at::Tensor map = batch_of(5, {6, 4, 3});
  const std::vector<std::int64_t> y{0, 3, 0, 9, 3};
  const Rows rows = deviations(map);
  Rows labels(5, std::vector<double>(10, 0.0));
  for (std::size_t a = 0; a < 5; ++a) labels[a][static_cast<std::size_t>(y[a])] = 1;
  double expected = 0;
  for (std::size_t a = 0; a < 5; ++a)
    for (std::size_t b = 0; b < 5; ++b) {
      const double wanted = similarity_by_loops(labels, a, b);
      expected += std::pow(similarity_by_loops(rows, a, b) - wanted, 2) / 25;
    }
  EXPECT_NEAR(loss_of(LossKind::similarity, map, {.y_B = at::tensor(y, at::kLong)}), expected, 1e-10);
}

TEST(Loss, SimilarityKnowsNeitherScaleNorShift) {
  // Large, so that what is added to the norms is nothing beside them.
  const at::Tensor map = 1e4 * batch_of(5, {6, 4, 3}), vectors = 1e4 * noise({5, 6}, 4);
  const at::Tensor scales = at::arange(1, 6, at::kDouble), shifts = at::arange(5, at::kDouble) - 2;
  for (const at::Tensor& samples : {map, vectors}) {
    const std::vector<std::int64_t> per_sample =
        samples.dim() == 4 ? std::vector<std::int64_t>{5, 1, 1, 1} : std::vector<std::int64_t>{5, 1};
    const at::Tensor moved = samples * scales.view(per_sample) + shifts.view(per_sample);
    EXPECT_LT(distance(similarity_matrix(moved), similarity_matrix(samples)), 1e-10);
  }
  EXPECT_GT(distance(similarity_matrix(map.slice(1, 0, 3)), similarity_matrix(map.slice(1, 3, 6))), 0.1);
}

TEST(Loss, SimilarityOfSamplesThatDoNotVaryIsFiniteAndSoIsItsGradient) {
  const at::Tensor flat = at::full({3, 4, 2, 2}, 0.5, at::kDouble).requires_grad_(true);
  const at::Tensor matrix = similarity_matrix(flat);
  EXPECT_TRUE(matrix.isfinite().all().item<bool>());
  EXPECT_TRUE(torch::autograd::grad({matrix.sum()}, {flat}).front().isfinite().all().item<bool>());
}

TEST(Loss, SimilarityOfMapsOfOnePlaceIsThatOfTheirValues) {
  const at::Tensor one_place = batch_of(3, {6, 1, 1});
  EXPECT_LT(distance(similarity_matrix(one_place), similarity_matrix(one_place.flatten(1))), 1e-12);
}

}  // namespace
}  // namespace lamina
