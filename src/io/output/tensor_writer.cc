#include "io/output/tensor_writer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "io/tensor_file.h"

namespace quern {

TensorWriter::TensorWriter(std::filesystem::path path, std::vector<StoredTensor> tensors)
    : path_(std::move(path)), tensors_(std::move(tensors)) {
  std::ranges::stable_sort(tensors_, std::ranges::greater(), [](const StoredTensor& tensor) {
    return stored_element_bytes(tensor.stored_type).value_or(0);
  });
  const std::string header = safetensors_header(tensors_, true);
  for (const StoredTensor& tensor : tensors_) {
    offsets_.emplace(tensor.name, header.size() + total_bytes_);
    sizes_.emplace(tensor.name, tensor.size_bytes());
    total_bytes_ += tensor.size_bytes();
  }
  missing_bytes_ = total_bytes_;
  descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                       S_IRUSR | S_IWUSR | S_IRGRP | S_IWGRP | S_IROTH | S_IWOTH);
  if (descriptor_ < 0) refuse(errno);
  const auto file_bytes = static_cast<off_t>(header.size() + total_bytes_);
  if (const int error_number = ::posix_fallocate(descriptor_, 0, file_bytes)) {
    ::close(std::exchange(descriptor_, -1));
    refuse(error_number);
  }
  try {
    write_at(0, std::as_bytes(std::span(header)));
  } catch (...) {
    ::close(descriptor_);
    throw;
  }
}

TensorWriter::~TensorWriter() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void TensorWriter::write(std::string_view name, std::uint64_t first,
                         std::span<const std::byte> bytes) {
  const auto offset = offsets_.find(name);
  QUERN_CHECK(offset != offsets_.end(), "no tensor '{}'", name);
  const std::uint64_t size = sizes_.find(name)->second;
  QUERN_CHECK(first <= size && bytes.size() <= size - first && bytes.size() <= missing_bytes_,
              "tensor '{}': bytes {} to {} of {}", name, first, first + bytes.size(), size);
  write_at(offset->second + first, bytes);
  missing_bytes_ -= bytes.size();
}

void TensorWriter::finish() {
  QUERN_CHECK(missing_bytes_ == 0, "{}: {} bytes are missing", path_.string(), missing_bytes_);
  if (::fsync(descriptor_) != 0) refuse(errno);
  if (::close(std::exchange(descriptor_, -1)) != 0) refuse(errno);
}

void TensorWriter::write_at(std::uint64_t offset, std::span<const std::byte> bytes) const {
  while (!bytes.empty()) {
    const ssize_t count =
        ::pwrite(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) refuse(errno);
    bytes = bytes.subspan(static_cast<std::size_t>(count));
    offset += static_cast<std::uint64_t>(count);
  }
}

void TensorWriter::refuse(int error_number) const {
  fail(ErrorCode::bad_file, "{}: cannot write {} bytes: {}", path_.string(), total_bytes_,
       std::generic_category().message(error_number));
}

}  // namespace quern
