#include "pending_losses.hpp"

#include <ATen/ATen.h>

namespace lamina {

void PendingLosses::add(const std::string& branch, const BranchResult& result) {
  modules_.back().push_back({branch, result.loss, result.correct});
}

at::Tensor PendingLosses::total() const {
  std::vector<at::Tensor> losses;
  for (const std::vector<Said>& module : modules_)
    for (const Said& said : module) losses.push_back(said.loss.to(at::kDouble));
  return at::stack(losses).sum().reshape({1});
}

// In double every float and every count of samples is itself.
PendingLosses::Read PendingLosses::read(const std::vector<at::Tensor>& further) const {
  std::vector<at::Tensor> numbers;
  for (const std::vector<Said>& module : modules_)
    for (const Said& said : module)
      for (const at::Tensor& number : {said.loss, said.correct})
        if (number.defined()) numbers.push_back(number.to(at::kDouble));
  for (const at::Tensor& number : further) numbers.push_back(number.to(at::kDouble).reshape({}));
  Read read{.modules = std::vector<ModuleReport>(modules_.size())};
  if (numbers.empty()) return read;
  const at::Tensor on_host = at::stack(numbers).cpu();
  const double* next = on_host.const_data_ptr<double>();
  for (std::size_t i = 0; i < modules_.size(); ++i)
    for (const Said& said : modules_[i]) {
      LossReport report{.branch = said.branch, .loss = *next++, .correct = -1};
      if (said.correct.defined()) report.correct = static_cast<std::int64_t>(*next++);
      read.modules[i].losses.push_back(std::move(report));
    }
  read.further.assign(next, next + further.size());
  return read;
}

}  // namespace lamina
