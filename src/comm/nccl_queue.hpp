#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "comm/nccl_progress.hpp"
#include "comm/ticket.hpp"

namespace lamina {

/// Sends and receives that NCCL has not been given yet. A receive is held until somebody asks after it, so
/// that it holds back nothing that this worker still has to do before; while one is held, so are sends, to go
/// with it in one group (src/README.md, "What NCCL is given, and when").
///
/// Threads  the progress thread alone.
class NcclQueue {
 public:
  explicit NcclQueue(NcclProgress& progress) : progress_(progress) {}

  void send(std::shared_ptr<Ticket> ticket, NcclTransfer transfer);
  void receive(std::shared_ptr<Ticket> ticket, NcclTransfer transfer);

  /// Somebody asks after this transfer: issues it if it is held.
  void ask_for_send(const std::shared_ptr<Ticket>& ticket);
  void ask_for_receive(const std::shared_ptr<Ticket>& ticket);

  /// Issues the sends alone.
  void issue_sends();

 private:
  struct Held {
    std::shared_ptr<Ticket> ticket;
    NcclTransfer transfer;
  };

  NcclProgress& progress_;
  std::vector<Held> sends_;
  std::vector<Held> receives_;
};

}  // namespace lamina
