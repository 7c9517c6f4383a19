#include "io/open_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "base/error.h"

namespace quern {
namespace {

std::string reason(int error_number) { return std::generic_category().message(error_number); }

}  // namespace

OpenFile::OpenFile(const std::filesystem::path& path) {
  // Without O_NONBLOCK, opening a pipe would block until it has a writer; regular files ignore it.
  descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor_ < 0) {
    const int error_number = errno;
    if (error_number == ENOENT || error_number == ENOTDIR) {
      fail(ErrorCode::not_found, "{}: no such file", path.string());
    }
    fail(ErrorCode::bad_file, "{}: cannot open: {}", path.string(), reason(error_number));
  }
  struct stat status = {};
  if (::fstat(descriptor_, &status) != 0) {
    const int error_number = errno;
    ::close(descriptor_);
    fail(ErrorCode::bad_file, "{}: cannot read: {}", path.string(), reason(error_number));
  }
  if (!S_ISREG(status.st_mode)) {
    ::close(descriptor_);
    fail(ErrorCode::bad_file, "{}: expected a file, got {}", path.string(),
         S_ISDIR(status.st_mode) ? "a folder" : "a pipe or device");
  }
  size_bytes_ = static_cast<std::uint64_t>(status.st_size);
}

OpenFile::~OpenFile() { ::close(descriptor_); }

}  // namespace quern
