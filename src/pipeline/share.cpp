#include "lamina/pipeline/share.hpp"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "lamina/core/error.hpp"

namespace lamina {
namespace {

// A transport takes tensors aligned to 64 bytes; a slice's start may be anywhere.
at::Tensor slice_of(const at::Tensor& whole, std::int64_t first, std::int64_t end) {
  if (!whole.defined() || (first == 0 && end == whole.size(0))) return whole;
  return whole.slice(0, first, end).clone();
}

void append_samples(at::Tensor& samples, const at::Tensor& more) {
  if (!more.defined() || more.size(0) == 0) return;
  samples = samples.size(0) == 0 ? more : at::cat({samples, more});  // an empty one would hide the layout
}

void add(ModuleReport& report, const ModuleReport& more) {
  for (std::size_t i = 0; i < report.losses.size(); ++i) {
    LossReport& loss = report.losses[i];
    loss.loss += more.losses.at(i).loss;
    if (loss.correct >= 0) loss.correct += more.losses[i].correct;
  }
}

void add(StageReport& report, const StageReport& more) {
  report.age_steps = std::max(report.age_steps, more.age_steps);
  report.skipped = report.skipped || more.skipped;
  for (double StageReport::* figure :
       {&StageReport::compute_s, &StageReport::snapshot_wait_s, &StageReport::replica_wait_s,
        &StageReport::input_wait_s, &StageReport::room_wait_s, &StageReport::checkpoint_wait_s,
        &StageReport::memory_mib, &StageReport::device_memory_mib})
    report.*figure = std::max(report.*figure, more.*figure);
}

// Of the same form, and nothing in it.
void clear_reports(Packet& packet) {
  for (ModuleReport& report : packet.modules)
    for (LossReport& loss : report.losses) {
      loss.loss = 0;
      loss.correct = std::min<std::int64_t>(loss.correct, 0);
    }
  std::fill(packet.stages.begin(), packet.stages.end(), StageReport{});
  packet.notes.clear();
}

}  // namespace

Share share_of(std::int64_t samples, const Replica& replica) {
  return {samples * replica.index / replica.of, samples * (replica.index + 1) / replica.of};
}

Share common_share(std::int64_t samples, const Replica& a, const Replica& b) {
  const Share of_a = share_of(samples, a), of_b = share_of(samples, b);
  const std::int64_t first = std::max(of_a.first, of_b.first);
  return {first, std::max(first, std::min(of_a.end, of_b.end))};
}

bool may_share(const Replica& a, const Replica& b) {
  return a.index * b.of < (b.index + 1) * a.of && b.index * a.of < (a.index + 1) * b.of;
}

Packet piece_of(const Packet& packet, const Replica& from, const Replica& to, bool with_reports) {
  Packet piece = packet;
  if (!with_reports) clear_reports(piece);
  if (packet.is_mark()) return piece;
  const std::int64_t own_first = share_of(packet.batch, from).first;
  const Share common = common_share(packet.batch, from, to);
  const std::int64_t first = common.first - own_first, end = common.end - own_first;
  piece.x_BCHW = slice_of(packet.x_BCHW, first, end);
  piece.y_B = slice_of(packet.y_B, first, end);
  piece.image_BCHW = slice_of(packet.image_BCHW, first, end);
  return piece;
}

Packet micro_batch(const Packet& packet, int index, int of) {
  Packet micro = packet;
  clear_reports(micro);
  const Share share = share_of(packet.samples(), {index, of});
  micro.x_BCHW = slice_of(packet.x_BCHW, share.first, share.end);
  micro.y_B = slice_of(packet.y_B, share.first, share.end);
  micro.image_BCHW = slice_of(packet.image_BCHW, share.first, share.end);
  return micro;
}

void join_micro_batch(Packet& packet, Packet micro) {
  for (std::size_t i = 0; i < packet.stages.size(); ++i)
    for (double StageReport::* figure : {&StageReport::compute_s, &StageReport::input_wait_s,
                                         &StageReport::room_wait_s, &StageReport::checkpoint_wait_s})
      micro.stages.at(i).*figure += packet.stages[i].*figure;
  join(packet, std::move(micro));  // of times the larger, which is now the sum
}

void join(Packet& packet, Packet piece) {
  if (piece.kind != packet.kind || piece.step != packet.step || piece.batch != packet.batch ||
      piece.modules.size() != packet.modules.size() || piece.stages.size() != packet.stages.size())
    throw Error(
        ErrorKind::contract,
        fmt::format("expected a further piece of step {} (kind {}, {} samples in all), found one of step "
                    "{} (kind {}, {} samples)",
                    packet.step, static_cast<int>(packet.kind), packet.batch, piece.step,
                    static_cast<int>(piece.kind), piece.batch));
  packet.skipped = packet.skipped || piece.skipped;  // replicas agree: theirs are alike
  packet.abandoned = packet.abandoned || piece.abandoned;
  append_samples(packet.x_BCHW, piece.x_BCHW);
  append_samples(packet.y_B, piece.y_B);
  append_samples(packet.image_BCHW, piece.image_BCHW);
  for (std::size_t i = 0; i < packet.modules.size(); ++i) add(packet.modules[i], piece.modules[i]);
  for (std::size_t i = 0; i < packet.stages.size(); ++i) add(packet.stages[i], piece.stages[i]);
  std::move(piece.notes.begin(), piece.notes.end(), std::back_inserter(packet.notes));
}

}  // namespace lamina
