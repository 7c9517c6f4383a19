#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "io/open_file.h"
#include "quern/files.h"

namespace quern {

MappedFile MappedFile::open(const std::filesystem::path& path) {
  const OpenFile file(path);
  MappedFile mapped;
  mapped.path_ = path;
  const auto size_bytes = static_cast<std::size_t>(file.size_bytes());
  if (size_bytes == 0) return mapped;  // mmap refuses empty files
  void* data = ::mmap(nullptr, size_bytes, PROT_READ, MAP_PRIVATE, file.descriptor(), 0);
  if (data == MAP_FAILED) {
    fail(ErrorCode::bad_file, "{}: cannot map {} bytes: {}", path.string(), size_bytes,
         std::generic_category().message(errno));
  }
  mapped.bytes_ = {static_cast<const std::byte*>(data), size_bytes};
  return mapped;
}

MappedFile::MappedFile(MappedFile&& other) noexcept { *this = std::move(other); }

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  if (this != &other) {
    unmap();
    path_ = std::move(other.path_);
    bytes_ = std::exchange(other.bytes_, {});
  }
  return *this;
}

MappedFile::~MappedFile() { unmap(); }

void MappedFile::release(std::span<const std::byte> part) const {
  if (part.empty()) return;
  // Another tensor on the same first or last page only faults it in again.
  const auto page_bytes = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const std::uintptr_t misplaced = reinterpret_cast<std::uintptr_t>(part.data()) % page_bytes;
  ::madvise(const_cast<std::byte*>(part.data()) - misplaced, part.size() + misplaced,
            MADV_DONTNEED);
}

void MappedFile::unmap() noexcept {
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
  bytes_ = {};
}

}  // namespace quern
