#include "base/memory/buffer.h"

#include <sys/mman.h>

#include <cstdlib>
#include <utility>

#include "base/error.h"
#include "base/memory/shape.h"

namespace quern {

Buffer::Buffer(std::byte* data, std::size_t size_bytes, Device device, Release release)
    : data_(data), size_bytes_(size_bytes), device_(device), release_(std::move(release)) {}

Buffer::Buffer(Buffer&& other) noexcept { *this = std::move(other); }

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  if (this != &other) {
    reset();
    data_ = std::exchange(other.data_, nullptr);
    size_bytes_ = std::exchange(other.size_bytes_, 0);
    device_ = other.device_;
    release_ = std::move(other.release_);
  }
  return *this;
}

Buffer::~Buffer() { reset(); }

void Buffer::reset() noexcept {
  if (data_ != nullptr && release_) release_(data_);
  data_ = nullptr;
  size_bytes_ = 0;
}

Buffer allocate_host(std::size_t size_bytes, const char* what) {
  constexpr std::size_t kCacheLine = 64;
  constexpr std::size_t kHugePage = std::size_t{2} << 20;
  const bool is_large = size_bytes >= 4 * kHugePage;
  const std::size_t alignment = is_large ? kHugePage : kCacheLine;
  // calloc returns fresh zero pages without touching them, unlike aligned_alloc + memset.
  auto* block = size_bytes > SIZE_MAX - 2 * alignment
                    ? nullptr
                    : static_cast<std::byte*>(std::calloc(1, size_bytes + alignment));
  if (block == nullptr) {
    fail(ErrorCode::out_of_memory, "{}: cannot allocate {} bytes", what, size_bytes);
  }
  const auto address = reinterpret_cast<std::uintptr_t>(block);
  auto* aligned = block + (align_up(address, alignment) - address);
#ifdef MADV_HUGEPAGE
  // Weights are read from end to end in each step: with pages of 4 KiB a third of the read
  // bandwidth is lost to their translation. A kernel without huge pages refuses, which is fine.
  if (is_large) madvise(aligned, size_bytes / kHugePage * kHugePage, MADV_HUGEPAGE);
#endif
  return Buffer(aligned, size_bytes, Device{}, [block](std::byte*) { std::free(block); });
}

}  // namespace quern
