#include "comm/nccl_queue.hpp"

#include <algorithm>
#include <utility>

namespace lamina {

void NcclQueue::send(std::shared_ptr<Ticket> ticket, NcclTransfer transfer) {
  sends_.push_back({std::move(ticket), std::move(transfer)});
  if (receives_.empty()) issue_sends();
}

void NcclQueue::receive(std::shared_ptr<Ticket> ticket, NcclTransfer transfer) {
  receives_.push_back({std::move(ticket), std::move(transfer)});
}

void NcclQueue::ask_for_send(const std::shared_ptr<Ticket>& ticket) {
  if (std::any_of(sends_.begin(), sends_.end(), [&](const Held& held) { return held.ticket == ticket; }))
    issue_sends();
}

// One receive alone goes with the sends: another may be of a message that this one leads to.
void NcclQueue::ask_for_receive(const std::shared_ptr<Ticket>& ticket) {
  NcclGroup group;
  for (Held& held : std::exchange(sends_, {})) group.push_back(std::move(held.transfer));
  const auto asked = std::find_if(receives_.begin(), receives_.end(),
                                  [&](const Held& held) { return held.ticket == ticket; });
  if (asked != receives_.end()) {
    group.push_back(std::move(asked->transfer));
    receives_.erase(asked);
  }
  if (!group.empty()) progress_.issue(std::move(group));
}

void NcclQueue::issue_sends() {
  ask_for_receive(nullptr);
}

}  // namespace lamina
