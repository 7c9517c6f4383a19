#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace quern::tools {

/// Threads for work that would hold up the threads of connections.
class Workers {
 public:
  Workers(int num_threads, std::size_t max_waiting);
  /// Drops what waits, and waits for what runs.
  ~Workers();
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  /// False where too much waits already. `task` must not throw.
  bool submit(std::function<void()> task);

 private:
  void run();

  const std::size_t max_waiting_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> tasks_;
  bool ends_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace quern::tools
