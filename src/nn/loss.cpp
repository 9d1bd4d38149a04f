#include "loss.hpp"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "lamina/core/error.hpp"

namespace lamina {
namespace {

constexpr double temperature = 0.07;
constexpr double smallest_norm = 1e-12;  // of a row of features
constexpr double row_norm_eps = 1e-8;    // added to a row's norm, as PredSim has it
// A logit beside which every similarity's exponential is everything: cosines are at most 1 / 0.07.
constexpr double nothing = -1e4;

at::Tensor unit_rows(const at::Tensor& rows_BF) {
  return rows_BF / rows_BF.norm(2, 1, /*keepdim=*/true).clamp_min(smallest_norm);
}

at::Tensor cross_entropy(const HeadTerm&, const at::Tensor& logits, const Targets& targets) {
  return at::cross_entropy_loss(logits, targets.y_B);
}

// A sample that is alone in its class has nothing to be drawn to: it is one of the others' negatives, and the
// mean leaves it out. That no exponential overflows is log_softmax's own business.
at::Tensor contrast(const HeadTerm&, const at::Tensor& features_BF, const Targets& targets) {
  const at::Tensor z = unit_rows(features_BF);
  const at::Tensor itself = at::eye(z.size(0), targets.y_B.options().dtype(at::kBool));
  const at::Tensor log_p =
      at::log_softmax((z.matmul(z.t()) / temperature).masked_fill(itself, nothing), /*dim=*/1);
  const at::Tensor alike = targets.y_B.unsqueeze(1) == targets.y_B.unsqueeze(0);
  const at::Tensor positives = alike.logical_and(itself.logical_not()).to(log_p.scalar_type());
  const at::Tensor num_positives = positives.sum(1);
  const at::Tensor samples = (log_p * positives).sum(1) / num_positives.clamp_min(1);
  return -samples.sum() / (num_positives > 0).sum().clamp_min(1);
}

at::Tensor reconstruction(const HeadTerm& term, const at::Tensor& output, const Targets& targets) {
  const at::Tensor& image = targets.image_BCHW;
  if (!image.defined())
    throw Error(ErrorKind::contract,
                "a head that reconstructs the image: expected one with the batch, found none");
  const at::Tensor part = quarter(image, term.quadrant);
  if (part.sizes() != output.sizes())
    throw Error(ErrorKind::contract,
                fmt::format("a head that reconstructs the image: expected one of [{}], found [{}]",
                            fmt::join(output.sizes(), ","), fmt::join(part.sizes(), ",")));
  const at::Tensor values = part.to(output.scalar_type());
  return at::binary_cross_entropy(output, image.scalar_type() == at::kByte ? values / 255 : values);
}

at::Tensor similarity(const HeadTerm& term, const at::Tensor& output, const Targets& targets) {
  const at::Tensor labels = at::one_hot(targets.y_B, term.num_classes).to(output.scalar_type());
  return at::mse_loss(similarity_matrix(output), similarity_matrix(labels));
}

}  // namespace

at::Tensor quarter(const at::Tensor& map_BCHW, int quadrant) {
  if (quadrant < 0) return map_BCHW;
  const std::int64_t height = map_BCHW.size(2) / 2;
  const std::int64_t width = map_BCHW.size(3) / 2;
  return map_BCHW.narrow(2, quadrant / 2 * height, height).narrow(3, quadrant % 2 * width, width);
}

at::Tensor similarity_matrix(const at::Tensor& samples) {
  at::Tensor rows = samples.flatten(1);
  if (samples.dim() == 4 && samples.size(2) * samples.size(3) > 1) rows = samples.flatten(2).std(2);
  const at::Tensor centred = rows - rows.mean(1, /*keepdim=*/true);
  const at::Tensor z = centred / (centred.norm(2, 1, /*keepdim=*/true) + row_norm_eps);
  return z.matmul(z.t()).clamp(-1, 1);
}

at::Tensor term_loss(const HeadTerm& term, const at::Tensor& output, const Targets& targets) {
  switch (term.loss) {
    case LossKind::cross_entropy:
      return cross_entropy(term, output, targets);
    case LossKind::contrast:
      return contrast(term, output, targets);
    case LossKind::reconstruction:
      return reconstruction(term, output, targets);
    case LossKind::similarity:
      return similarity(term, output, targets);
  }
  throw Error(ErrorKind::contract, "a loss of no known kind");
}

}  // namespace lamina
