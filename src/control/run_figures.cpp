#include "lamina/control/run_figures.hpp"

#include <fmt/format.h>

#include "control/figure_fields.hpp"
#include "lamina/core/error.hpp"

namespace lamina {
namespace {

// Every number of a run's figures, const or not, in one order.
template <class Figures, class Visit>
void each_number(Figures& figures, Visit visit) {
  for (const auto& field : run_fields) visit(figures.*field.value);
  for (auto& module : figures.modules)
    for (const auto& field : module_fields) visit(module.*field.value);
  for (auto& stage : figures.stages)
    for (const auto& field : stage_fields) visit(stage.*field.value);
}

}  // namespace

std::vector<double> to_numbers(const RunFigures& figures) {
  std::vector<double> numbers;
  each_number(figures, [&](double number) { numbers.push_back(number); });
  return numbers;
}

void set_numbers(RunFigures& figures, std::span<const double> numbers) {
  const std::size_t expected = to_numbers(figures).size();
  if (numbers.size() != expected)
    throw Error(ErrorKind::contract,
                fmt::format("expected {} figures of the run, found {}", expected, numbers.size()));
  each_number(figures, [next = numbers.begin()](double& number) mutable { number = *next++; });
}

}  // namespace lamina
