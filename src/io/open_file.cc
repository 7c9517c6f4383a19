#include "io/open_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "base/error.h"

namespace quern {
namespace fs = std::filesystem;
namespace {

std::string reason(int error_number) { return std::generic_category().message(error_number); }

[[noreturn]] void fail_to_open(const fs::path& path, int error_number) {
  std::error_code ignored;
  const bool is_link = fs::is_symlink(fs::symlink_status(path, ignored));
  if (error_number == ELOOP) {
    fail(ErrorCode::bad_file, "{}: expected a file, got a link that leads back to itself",
         path.string());
  }
  if (is_link && error_number == ENOENT) {
    const fs::path target = fs::read_symlink(path, ignored);
    fail(ErrorCode::bad_file, "{}: expected a file, got a link to {}, which does not exist",
         path.string(), target.string());
  }
  if (error_number == ENOENT || error_number == ENOTDIR) {
    fail(ErrorCode::not_found, "{}: no such file", path.string());
  }
  fail(ErrorCode::bad_file, "{}: cannot open: {}", path.string(), reason(error_number));
}

}  // namespace

OpenFile::OpenFile(fs::path path) : path_(std::move(path)) {
  // Without O_NONBLOCK, opening a pipe would wait for its writer; regular files do not care.
  descriptor_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor_ < 0) fail_to_open(path_, errno);
  struct stat status = {};
  if (::fstat(descriptor_, &status) != 0) {
    const int error_number = errno;
    ::close(descriptor_);
    fail(ErrorCode::bad_file, "{}: cannot read: {}", path_.string(), reason(error_number));
  }
  if (!S_ISREG(status.st_mode)) {
    ::close(descriptor_);
    fail(ErrorCode::bad_file, "{}: expected a file, got {}", path_.string(),
         S_ISDIR(status.st_mode) ? "a folder" : "a pipe or device");
  }
  size_bytes_ = static_cast<std::uint64_t>(status.st_size);
}

OpenFile::~OpenFile() { ::close(descriptor_); }

void OpenFile::read(std::uint64_t offset, std::span<std::byte> out) const {
  std::size_t filled = 0;
  while (filled < out.size()) {
    const ssize_t count = ::pread(descriptor_, out.data() + filled, out.size() - filled,
                                  static_cast<off_t>(offset + filled));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) {
      fail(ErrorCode::bad_file, "{}: cannot read {} bytes at offset {}, got {}: {}", path_.string(),
           out.size(), offset, filled,
           count == 0 ? "the file ended, it was cut short while it was read" : reason(errno));
    }
    filled += static_cast<std::size_t>(count);
  }
}

std::string OpenFile::read_text(std::uint64_t offset, std::size_t size_bytes) const {
  std::string text(size_bytes, '\0');
  read(offset, std::as_writable_bytes(std::span(text)));
  return text;
}

bool is_listed(const fs::path& path) {
  std::error_code error;
  const fs::file_status status = fs::symlink_status(path, error);
  if (status.type() == fs::file_type::none) {
    fail(ErrorCode::bad_file, "{}: cannot tell whether it is there: {}", path.string(),
         error.message());
  }
  return fs::exists(status);
}

}  // namespace quern
