#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

#include "backend/cuda/stream/stream.h"
#include "base/memory/buffer.h"
#include "quern/dtype.h"

namespace quern::bench {

/// Times launches by replaying a CUDA graph of many of them.
class KernelTimer {
 public:
  KernelTimer();

  const cuda::Stream& stream() const { return stream_; }
  int num_multiprocessors() const { return num_multiprocessors_; }
  /// Whether launches use programmatic dependent launch; see kernels::LaunchShape.
  bool use_pdl() const { return use_pdl_; }
  void disable_pdl() { use_pdl_ = false; }
  /// Bytes of the pool that weights are taken from in rotation; at least 3 GiB: larger than any
  /// projection's weight, and many times any L2.
  std::int64_t cold_bytes() const { return cold_bytes_; }
  void set_cold_bytes(std::int64_t bytes) { cold_bytes_ = bytes; }

  /// Microseconds per launch: the median over replays of a graph of `count` launches; launch(i)
  /// makes the i-th. Errors: device.
  double time_us(int count, const std::function<void(int)>& launch) const;

  Buffer allocate(std::size_t size_bytes) const;

 private:
  int num_multiprocessors_ = 0;
  bool use_pdl_ = false;
  std::int64_t cold_bytes_ = std::int64_t{3} << 30;
  cuda::Stream stream_;
};

/// Pool of random numbers, several times the size of the caches. Launches take their weights from
/// it in rotation, so that each finds them cold.
class ColdMemory {
 public:
  ColdMemory(const KernelTimer& timer, DType dtype, float scale);

  /// The next `size_bytes`, aligned to 256.
  const std::byte* take(std::int64_t size_bytes);
  /// Number of launches of that many bytes each after which none finds cached data.
  static int num_launches(std::int64_t size_bytes);

 private:
  std::int64_t size_bytes() const { return static_cast<std::int64_t>(memory_.size_bytes()); }

  Buffer memory_;
  std::int64_t used_bytes_ = 0;
};

}  // namespace quern::bench
