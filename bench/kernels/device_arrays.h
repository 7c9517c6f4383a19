#pragma once

#include <deque>
#include <vector>

#include "backend/cuda/stream/check_cuda.h"
#include "bench/kernels/bench_kernels.h"
#include "bench/kernels/kernel_timer.h"

namespace quern::bench {

/// Small device arrays of a step with the lifetime of this object.
class DeviceArrays {
 public:
  explicit DeviceArrays(const KernelTimer& timer) : timer_(timer) {}

  template <typename T>
  T* upload(const std::vector<T>& content) {
    T* data = reinterpret_cast<T*>(zeros(content.size() * sizeof(T)));
    timer_.stream().synchronize();
    cuda::check_cuda(
        cudaMemcpy(data, content.data(), content.size() * sizeof(T), cudaMemcpyHostToDevice),
        "cudaMemcpy");
    return data;
  }
  std::byte* zeros(std::size_t size_bytes) {
    buffers_.push_back(timer_.allocate(size_bytes));
    return buffers_.back().data();
  }
  std::byte* random(DType dtype, std::int64_t count, float scale) {
    FillParams params;
    params.dtype = dtype;
    params.data = zeros(static_cast<std::size_t>(count) * dtype_bytes(dtype));
    params.count = count;
    params.scale = scale;
    fill_randomly(params, timer_.stream().get());
    return buffers_.back().data();
  }

 private:
  const KernelTimer& timer_;
  std::deque<Buffer> buffers_;
};

}  // namespace quern::bench
