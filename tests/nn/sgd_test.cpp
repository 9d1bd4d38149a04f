#include "lamina/nn/sgd.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "nn/examples.hpp"

namespace lamina {
namespace {

// torch.optim.SGD as its documentation defines it, a number at a time: the first momentum is the first
// gradient.
struct NaiveSgd {
  SgdConfig config;
  std::vector<double> weights;
  std::vector<double> momentum{};

  void step(const std::vector<double>& grads, double lr) {
    const bool first = momentum.empty();
    momentum.resize(weights.size());
    for (std::size_t i = 0; i < weights.size(); ++i) {
      const double grad = grads[i] + config.weight_decay * weights[i];
      momentum[i] = first ? grad : config.momentum * momentum[i] + grad;
      weights[i] -= lr * (config.nesterov ? grad + config.momentum * momentum[i] : momentum[i]);
    }
  }
};

std::vector<double> numbers(const at::Tensor& tensor) {
  const at::Tensor flat = tensor.detach().to(at::kDouble).contiguous().view(-1);
  return {flat.data_ptr<double>(), flat.data_ptr<double>() + flat.numel()};
}

double largest_gap(const std::vector<double>& a, const std::vector<double>& b) {
  double gap = a.size() == b.size() ? 0.0 : INFINITY;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) gap = std::max(gap, std::abs(a[i] - b[i]));
  return gap;
}

// Parameters of odd sizes, so that vectorised code has a rest; the fourth has a convolution's layout.
std::vector<at::Tensor> parameters(at::ScalarType dtype) {
  std::vector<at::Tensor> all{noise({1}, 1, dtype), noise({37}, 2, dtype), noise({5, 13}, 3, dtype),
                              noise({6, 5, 3, 3}, 4, dtype).contiguous(at::MemoryFormat::ChannelsLast)};
  for (at::Tensor& parameter : all) parameter.requires_grad_(true);
  return all;
}

struct Case {
  const char* name;
  SgdConfig config;
};
void PrintTo(const Case& c, std::ostream* out) {
  *out << c.name;
}

class SgdFollowsTheFormulas : public testing::TestWithParam<Case> {
 protected:
  // Largest difference in weights and momentum from the naive form, over several steps of changing rate.
  double gap(at::ScalarType dtype) const {
    const std::vector<at::Tensor> weights = parameters(dtype);
    Sgd sgd(GetParam().config, weights);
    std::vector<NaiveSgd> naive;
    for (const at::Tensor& weight : weights) naive.push_back({GetParam().config, numbers(weight)});
    double worst = 0;
    for (int step = 0; step < 7; ++step) {
      const double lr = 0.3 / (1 + step);
      std::vector<at::Tensor> grads;
      for (std::size_t i = 0; i < weights.size(); ++i) {
        grads.push_back(
            noise(weights[i].sizes(), 50 + 10 * step + i, dtype));  // contiguous, whatever the weight is
        naive[i].step(numbers(grads.back()), lr);
      }
      sgd.step(grads, lr);
      for (std::size_t i = 0; i < weights.size(); ++i) {
        worst = std::max(worst, largest_gap(numbers(weights[i]), naive[i].weights));
        if (GetParam().config.momentum > 0)  // otherwise nobody needs it, and it stays as it was
          worst = std::max(worst, largest_gap(numbers(sgd.momentum()[i]), naive[i].momentum));
      }
    }
    return worst;
  }
};

TEST_P(SgdFollowsTheFormulas, InDoublePrecision) {
  EXPECT_LT(gap(at::kDouble), 1e-13);
}
TEST_P(SgdFollowsTheFormulas, InSinglePrecisionToRounding) {
  EXPECT_LT(gap(at::kFloat), 1e-5);
}

INSTANTIATE_TEST_SUITE_P(
    Sgd, SgdFollowsTheFormulas,
    testing::Values(Case{"Recipe", {}},
                    Case{"StrongDecay", {.momentum = 0.9, .weight_decay = 0.2, .nesterov = true}},
                    Case{"PlainMomentum", {.momentum = 0.8, .weight_decay = 0.01, .nesterov = false}},
                    Case{"NoDecay", {.momentum = 0.9, .weight_decay = 0.0, .nesterov = true}},
                    Case{"NoMomentum", {.momentum = 0.0, .weight_decay = 0.01, .nesterov = false}}),
    [](const auto& test) { return std::string(test.param.name); });

TEST(Sgd, TheLayoutOfAGradientDoesNotMatter) {
  const auto after_a_step = [](at::MemoryFormat of_weight, at::MemoryFormat of_grad) {
    const at::Tensor weight = noise({6, 5, 3, 3}, 4).contiguous(of_weight);
    Sgd({}, {weight}).step({noise({6, 5, 3, 3}, 5).contiguous(of_grad)}, 0.1);
    return weight;
  };
  const at::MemoryFormat first = at::MemoryFormat::Contiguous, last = at::MemoryFormat::ChannelsLast;
  const at::Tensor expected = after_a_step(first, first);
  EXPECT_TRUE(at::equal(after_a_step(last, last), expected));
  EXPECT_TRUE(at::equal(after_a_step(last, first), expected));
  EXPECT_TRUE(at::equal(after_a_step(first, last), expected));
}

TEST(Sgd, KeepsItsGradientsAndTheLayoutOfItsParameters) {
  const std::vector<at::Tensor> weights = parameters(at::kFloat);
  Sgd sgd({}, weights);
  const at::Tensor grad = noise({6, 5, 3, 3}, 9, at::kFloat).contiguous(at::MemoryFormat::ChannelsLast);
  const at::Tensor before = grad.clone();
  sgd.step({at::ones({1}), at::ones({37}), at::ones({5, 13}), grad}, 0.1);
  EXPECT_TRUE(at::equal(grad, before));
  EXPECT_TRUE(weights[3].is_contiguous(at::MemoryFormat::ChannelsLast));
  EXPECT_EQ(sgd.momentum()[3].strides(), weights[3].strides());
  EXPECT_TRUE(weights[3].requires_grad());
}

}  // namespace
}  // namespace lamina
