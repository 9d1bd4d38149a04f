#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "lamina/comm/transport.hpp"

namespace lamina {

using Transports = std::vector<std::unique_ptr<Transport>>;

/// Runs `body` as all workers. A worker that throws fails the test and frees the others from waiting for it.
inline void run_workers(const Transports& transports, const std::function<void(Transport&)>& body) {
  std::vector<std::thread> threads;
  for (const auto& transport : transports) {
    threads.emplace_back([&body, &transport] {
      try {
        body(*transport);
      } catch (const std::exception& error) {
        ADD_FAILURE() << "worker " << transport->worker() << ": " << error.what();
        transport->abort(error.what(), 1);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace lamina
