#include "backend/cuda/stream/memory.h"

#include <algorithm>
#include <cstring>

#include "backend/cuda/stream/allocation_fault.h"
#include "backend/cuda/stream/check_cuda.h"
#include "base/error.h"
#include "base/memory/shape.h"
#include "base/system/system.h"

namespace quern::cuda {
namespace {

/// Rows per read: an equal share per thread, if that is worth it, and at most what fits into a
/// slot.
std::size_t rows_per_chunk(std::size_t num_rows, std::size_t row_bytes, std::size_t num_threads,
                           std::size_t slot_bytes) {
  constexpr std::size_t kWorthAThread = std::size_t{256} << 10;
  const std::size_t most = slot_bytes / row_bytes;
  const std::size_t fewest = std::min(kWorthAThread / row_bytes + 1, most);
  return std::clamp((num_rows + num_threads - 1) / num_threads, fewest, most);
}

}  // namespace

Buffer allocate_device(std::size_t size_bytes, const char* what, Device device,
                       const Stream& stream) {
  void* data = nullptr;
  // CUDA returns no pointer for zero bytes.
  const cudaError_t status = allocation_must_fail()
                                 ? cudaErrorMemoryAllocation
                                 : cudaMalloc(&data, std::max<std::size_t>(size_bytes, 1));
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
                [hung = stream.hung()](std::byte* memory) {
                  // Freeing waits for the device, which is hung.
                  if (!*hung) static_cast<void>(cudaFree(memory));
                });
  check_cuda(cudaMemsetAsync(data, 0, size_bytes, stream.get()), "cudaMemsetAsync");
  return buffer;
}

Buffer allocate_pinned(std::size_t size_bytes, const char* what, const Stream& stream) {
  void* data = nullptr;
  const cudaError_t status =
      allocation_must_fail() ? cudaErrorMemoryAllocation : cudaMallocHost(&data, size_bytes);
  if (status == cudaErrorMemoryAllocation) {
    static_cast<void>(cudaGetLastError());
    fail(ErrorCode::out_of_memory, "{}: {} bytes of pinned memory are not to be had", what,
         size_bytes);
  }
  check_cuda(status, "cudaMallocHost");
  return {static_cast<std::byte*>(data), size_bytes, Device{},
          [hung = stream.hung()](std::byte* memory) {
            if (!*hung) static_cast<void>(cudaFreeHost(memory));
          }};
}

StagingRing::StagingRing(const Stream& stream, Device device)
    : stream_(stream),
      device_(device),
      memory_(allocate_pinned(kSlots * kSlotBytes, "staging", stream)) {}

void StagingRing::copy(void* device_destination, const void* host_source, std::size_t size_bytes) {
  constexpr std::size_t kAlignment = 16;
  auto* destination = static_cast<std::byte*>(device_destination);
  const auto* source = static_cast<const std::byte*>(host_source);
  while (size_bytes > 0) {
    if (used_bytes_ == kSlotBytes) next_slot();
    std::byte* staged = slot(slot_) + used_bytes_;
    const std::size_t part_bytes = std::min(size_bytes, kSlotBytes - used_bytes_);
    std::memcpy(staged, source, part_bytes);
    send(destination, staged, part_bytes);
    destination += part_bytes;
    source += part_bytes;
    size_bytes -= part_bytes;
    used_bytes_ += align_up(part_bytes, kAlignment);
  }
}

void StagingRing::copy_rows(std::byte* device_destination, const ComponentPlace& component,
                            const RowReader& read) {
  const std::size_t row_bytes = std::max<std::size_t>(component.row_bytes(), 1);
  if (row_bytes > kSlotBytes) {
    fail(ErrorCode::unsupported, "a weight's row: expected at most {} bytes on CUDA, got {}",
         kSlotBytes, row_bytes);
  }
  const auto num_rows = static_cast<std::size_t>(component.rows);
  ThreadPool& pool = readers();
  const std::size_t chunk_rows =
      rows_per_chunk(num_rows, row_bytes, static_cast<std::size_t>(pool.num_threads()), kSlotBytes);
  const std::size_t num_chunks = (num_rows + chunk_rows - 1) / chunk_rows;
  if (used_bytes_ > 0) read_[slot_].record(stream_);
  used_bytes_ = kSlotBytes;  // the next copy() waits for its slot

  pool.parallel_for(static_cast<std::int64_t>(num_chunks), [&](std::int64_t chunk, int thread) {
    check_cuda(cudaSetDevice(device_.index), "cudaSetDevice");
    const auto index = static_cast<std::size_t>(thread);  // of the thread's own slot
    const std::size_t first = static_cast<std::size_t>(chunk) * chunk_rows;
    const std::size_t count = std::min(chunk_rows, num_rows - first);
    read_[index].synchronize();
    read(static_cast<std::int64_t>(first), static_cast<std::int64_t>(count), slot(index));
    send(device_destination + first * row_bytes, slot(index), count * row_bytes);
    read_[index].record(stream_);
  });
}

/// Starting threads for each weight would take a tenth of the time.
ThreadPool& StagingRing::readers() {
  if (!readers_) {
    const int processors = static_cast<int>(available_threads());
    try {
      readers_.emplace(std::min(static_cast<int>(kSlots), processors));
    } catch (const Error&) {
      readers_.emplace(1);  // no more threads are to be had
    }
  }
  return *readers_;
}

void StagingRing::send(std::byte* device_destination, const std::byte* staged,
                       std::size_t size_bytes) const {
  check_cuda(cudaMemcpyAsync(device_destination, staged, size_bytes, cudaMemcpyHostToDevice,
                             stream_.get()),
             "cudaMemcpyAsync");
}

void StagingRing::next_slot() {
  read_[slot_].record(stream_);
  slot_ = (slot_ + 1) % kSlots;
  used_bytes_ = 0;
  read_[slot_].synchronize();
}

}  // namespace quern::cuda
