#include <benchmark/benchmark.h>

#include "lamina/pipeline/timeline.hpp"

// What keeping the timeline costs a worker. A step of local learning has 6 spans, one of an end-to-end
// schedule with 8 micro-batches 65.

namespace lamina {
namespace {

void timeline_span(benchmark::State& state) {
  Timeline timeline;
  Span span{.start = Clock::now()};
  for (auto _ : state) {
    ++span.step;
    span.end = Clock::now();
    timeline.add(span);
    span.start = span.end;
  }
  benchmark::DoNotOptimize(timeline.num_overwritten());
}
BENCHMARK(timeline_span);

}  // namespace
}  // namespace lamina
