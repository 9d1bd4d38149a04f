#include "fault.hpp"

#include <cstdlib>
#include <map>
#include <mutex>
#include <sstream>
#include <stdexcept>
#include <string>

namespace nccl_standin {

namespace {

Fault fault_from_environment() {
  const char* text = std::getenv("NCCL_STANDIN_FAULT");
  if (!text) return {};
  const std::map<std::string, FaultKind> kinds{
      {"stall", FaultKind::stall}, {"fail", FaultKind::fail}, {"lose", FaultKind::lose}};
  std::istringstream words(text);
  std::string kind;
  Fault fault;
  if (!(words >> kind >> fault.rank >> fault.group) || !kinds.contains(kind))
    throw std::runtime_error("NCCL_STANDIN_FAULT: expected stall, fail or lose, a rank and a group, found " +
                             std::string(text));
  fault.kind = kinds.at(kind);
  return fault;
}

std::mutex mutex;

Fault& current_fault() {
  static Fault fault = fault_from_environment();
  return fault;
}

}  // namespace

void set_fault(Fault fault) {
  const std::lock_guard lock(mutex);
  current_fault() = fault;
}

FaultKind fault_of(int rank, std::int64_t group) {
  const std::lock_guard lock(mutex);
  const Fault& fault = current_fault();
  return fault.rank == rank && group >= fault.group ? fault.kind : FaultKind::none;
}

}  // namespace nccl_standin
