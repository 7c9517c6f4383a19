#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>

namespace quern {

/// All numbers of a tensor in memory, read by the threads that need them: each reads blocks until
/// none is left, then waits for those that others have begun.
class TensorNumbers {
 public:
  /// Reads `count` numbers from number `first` on.
  using ReadBlock =
      std::function<void(std::int64_t first, std::int64_t count, std::byte* destination)>;

  TensorNumbers(std::int64_t numel, std::size_t number_bytes, std::int64_t block_numbers);

  /// The numbers, row-major. Thread-safe; all callers pass the same `read`, which is called once
  /// for each block. Errors: the first exception of `read`, for every caller.
  const std::byte* get(const ReadBlock& read);

 private:
  void read_block(std::int64_t block, const ReadBlock& read);

  std::int64_t numel_;
  std::size_t number_bytes_;
  std::int64_t block_numbers_;
  std::int64_t num_blocks_;
  std::unique_ptr<std::byte[]> values_;  // not zeroed, which would touch every page on one thread
  std::atomic<std::int64_t> next_block_ = 0;
  std::atomic<std::int64_t> num_done_ = 0;
  std::mutex error_mutex_;
  std::exception_ptr error_;
};

}  // namespace quern
