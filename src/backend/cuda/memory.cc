#include "backend/cuda/memory.h"

#include <algorithm>
#include <cstring>

#include "backend/cuda/check_cuda.h"
#include "base/error.h"
#include "base/shape.h"

namespace quern::cuda {

Buffer allocate_device(std::size_t size_bytes, const char* what, Device device,
                       const Stream& stream) {
  void* data = nullptr;
  // CUDA gives no pointer for nothing.
  const cudaError_t status = cudaMalloc(&data, std::max<std::size_t>(size_bytes, 1));
  if (status == cudaErrorMemoryAllocation) {
    static_cast<void>(cudaGetLastError());
    std::size_t free_bytes = 0;
    std::size_t total_bytes = 0;
    check_cuda(cudaMemGetInfo(&free_bytes, &total_bytes), "cudaMemGetInfo");
    fail(ErrorCode::out_of_memory, "{}: {} bytes do not fit into GPU {}: {} of {} bytes are free",
         what, size_bytes, device.index, free_bytes, total_bytes);
  }
  check_cuda(status, "cudaMalloc");
  Buffer buffer(static_cast<std::byte*>(data), size_bytes, device,
                [](std::byte* memory) { static_cast<void>(cudaFree(memory)); });
  check_cuda(cudaMemsetAsync(data, 0, size_bytes, stream.get()), "cudaMemsetAsync");
  return buffer;
}

Buffer allocate_pinned(std::size_t size_bytes, const char* what) {
  void* data = nullptr;
  const cudaError_t status = cudaMallocHost(&data, size_bytes);
  if (status == cudaErrorMemoryAllocation) {
    static_cast<void>(cudaGetLastError());
    fail(ErrorCode::out_of_memory, "{}: {} bytes of pinned memory are not to be had", what,
         size_bytes);
  }
  check_cuda(status, "cudaMallocHost");
  return {static_cast<std::byte*>(data), size_bytes, Device{},
          [](std::byte* memory) { static_cast<void>(cudaFreeHost(memory)); }};
}

StagingRing::StagingRing(const Stream& stream)
    : stream_(stream), memory_(allocate_pinned(kSlots * kSlotBytes, "staging")) {}

void StagingRing::copy(void* device_destination, const void* host_source, std::size_t size_bytes) {
  constexpr std::size_t kAlignment = 16;
  auto* destination = static_cast<std::byte*>(device_destination);
  const auto* source = static_cast<const std::byte*>(host_source);
  while (size_bytes > 0) {
    if (used_bytes_ == kSlotBytes) next_slot();
    std::byte* staged = memory_.data() + slot_ * kSlotBytes + used_bytes_;
    const std::size_t part_bytes = std::min(size_bytes, kSlotBytes - used_bytes_);
    std::memcpy(staged, source, part_bytes);
    check_cuda(
        cudaMemcpyAsync(destination, staged, part_bytes, cudaMemcpyHostToDevice, stream_.get()),
        "cudaMemcpyAsync");
    destination += part_bytes;
    source += part_bytes;
    size_bytes -= part_bytes;
    used_bytes_ += align_up(part_bytes, kAlignment);
  }
}

void StagingRing::next_slot() {
  read_[slot_].record(stream_);
  slot_ = (slot_ + 1) % kSlots;
  used_bytes_ = 0;
  read_[slot_].synchronize();
}

}  // namespace quern::cuda
