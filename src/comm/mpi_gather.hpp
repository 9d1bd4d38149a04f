#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "comm/bell.hpp"
#include "comm/mpi_progress.hpp"

namespace lamina {

/// One gather of every worker's text, by messages between each two of them: MPI's own would not tell who is
/// missing.
///
/// Threads   start() on the progress thread, texts() under the bell.
/// Lifetime  the messages under way hold it.
class MpiGather : public std::enable_shared_from_this<MpiGather> {
 public:
  /// The workers' `number`-th, counted from 0.
  MpiGather(std::shared_ptr<Bell> bell, MpiProgress& progress, int number, std::string text);

  void start();

  /// By worker; nothing of those whose text has not come.
  const std::vector<std::optional<std::string>>& texts(const Bell::Lock&) const { return texts_; }
  bool done(const Bell::Lock& held) const;

 private:
  void send_to(int peer);
  void receive_from(int peer);
  void receive_text_from(int peer);
  void take(int peer, std::string text);

  const std::shared_ptr<Bell> bell_;
  MpiProgress& progress_;
  const int tag_;
  const std::string text_;
  const int text_bytes_;
  std::vector<int> sizes_;                         // the progress thread's
  std::vector<std::optional<std::string>> texts_;  // guarded by the bell
};

}  // namespace lamina
