#include "quern/output_file.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <optional>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "io/unfinished_files.h"

namespace quern {
namespace fs = std::filesystem;
namespace {

std::string error_text(int error_number) { return std::generic_category().message(error_number); }

[[noreturn]] void refuse_path(const fs::path& path, const std::string& why) {
  fail(ErrorCode::bad_file, "{}: cannot write: {}", path.string(), why);
}

/// The number of "/proc/…/fd/N" and "/dev/fd/N", which is one of our open descriptors.
std::optional<int> descriptor_of(const fs::path& path) {
  const fs::path folder = path.parent_path();
  const bool is_ours = folder == "/dev/fd" || folder == "/proc/self/fd" ||
                       folder == fs::path("/proc") / std::to_string(::getpid()) / "fd";
  if (!is_ours) return std::nullopt;
  const std::string name = path.filename().string();
  int number = -1;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (error != std::errc() || end != name.data() + name.size() || number < 0) return std::nullopt;
  return number;
}

/// Follows links to what they lead to, whether that is there or not, but not beyond one of our
/// descriptors.
fs::path follow_links(const fs::path& path) {
  constexpr int kMaxLinks = 40;  // as the kernel
  fs::path target = path;
  std::error_code error;
  for (int i = 0; i < kMaxLinks; ++i) {
    if (descriptor_of(target)) return target;
    const fs::file_status status = fs::symlink_status(target, error);
    if (status.type() == fs::file_type::none) refuse_path(path, error.message());
    if (!fs::is_symlink(status)) return target;
    const fs::path next = fs::read_symlink(target, error);
    if (error) refuse_path(path, error.message());
    target = next.is_absolute() ? next : target.parent_path() / next;
  }
  refuse_path(path, "a link that leads back to itself");
}

fs::path folder_of(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

/// A name beside the target that nobody can guess.
fs::path temporary_name(const fs::path& target) {
  constexpr std::size_t kMaxNameBytes = 200;  // file systems take 255
  std::uint64_t random = 0;
  if (::getrandom(&random, sizeof(random), 0) != sizeof(random))
    refuse_path(target, error_text(errno));
  const std::string name = target.filename().string().substr(0, kMaxNameBytes);
  return folder_of(target) / fmt::format(".{}.{:016x}.partial", name, random);
}

/// Opens a pipe or device. A pipe without a reader would make the program wait without a word, but
/// one that is about to come is waited for.
int open_directly(const fs::path& path) {
  constexpr int kMaxWaits = 100;
  constexpr int kWaitMs = 20;
  int descriptor = -1;
  for (int i = 0; i < kMaxWaits; ++i) {
    descriptor = ::open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor >= 0 || errno != ENXIO) break;
    ::poll(nullptr, 0, kWaitMs);
  }
  if (descriptor < 0)
    refuse_path(path, errno == ENXIO ? "nobody reads this pipe" : error_text(errno));
  ::fcntl(descriptor, F_SETFL, ::fcntl(descriptor, F_GETFL) & ~O_NONBLOCK);
  return descriptor;
}

struct Target {
  fs::path path;
  std::optional<int> descriptor;          ///< one of ours
  std::optional<struct ::stat> existing;  ///< nothing: to be made
  bool is_direct() const { return descriptor || (existing && !S_ISREG(existing->st_mode)); }
};

/// Errors for what can never be written.
Target find_target(const fs::path& path) {
  if (path.empty()) refuse_path("''", "expected a file's name");
  Target target{follow_links(path), std::nullopt, std::nullopt};
  target.descriptor = descriptor_of(target.path);
  if (target.descriptor) return target;
  struct ::stat status = {};
  if (::stat(target.path.c_str(), &status) == 0) {
    if (S_ISDIR(status.st_mode)) refuse_path(path, "it is a folder");
    if (::access(target.path.c_str(), W_OK) != 0) refuse_path(path, error_text(errno));
    target.existing = status;
  } else if (errno != ENOENT) {
    refuse_path(path, error_text(errno));
  }
  return target;
}

}  // namespace

OutputFile::OutputFile(fs::path path) : path_(std::move(path)) {
  const Target target = find_target(path_);
  target_ = target.path;
  if (target.descriptor) {
    descriptor_ = ::fcntl(*target.descriptor, F_DUPFD_CLOEXEC, 3);
    if (descriptor_ < 0) refuse(error_text(errno));
  } else if (target.is_direct()) {
    descriptor_ = open_directly(target_);
  } else {
    open_temporary();
    if (target.existing) {
      // As far as we may: the file keeps its owner and permissions.
      if (::fchown(descriptor_, target.existing->st_uid, target.existing->st_gid) == 0 ||
          target.existing->st_uid == ::geteuid()) {
        static_cast<void>(::fchmod(descriptor_, target.existing->st_mode & 07777));
      }
    }
  }
}

void OutputFile::open_temporary() {
  constexpr int kMaxTries = 10;
  for (int i = 0; i < kMaxTries; ++i) {
    temporary_ = temporary_name(target_);
    slot_ = note_unfinished_file(temporary_);
    descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                         S_IRUSR | S_IWUSR | S_IRGRP | S_IWGRP | S_IROTH | S_IWOTH);
    if (descriptor_ >= 0) return;
    const int error_number = errno;
    forget_unfinished_file(std::exchange(slot_, -1));
    if (error_number != EEXIST) refuse(error_text(error_number));
  }
  refuse(error_text(EEXIST));
}

OutputFile::~OutputFile() { close(); }

void OutputFile::close() noexcept {
  if (descriptor_ >= 0) ::close(std::exchange(descriptor_, -1));
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
  temporary_.clear();
  forget_unfinished_file(std::exchange(slot_, -1));
}

void OutputFile::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(descriptor_, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) refuse(error_text(errno));
    bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
}

void OutputFile::finish() {
  if (temporary_.empty()) {
    if (::close(std::exchange(descriptor_, -1)) != 0) refuse(error_text(errno));
    return;
  }
  if (::fsync(descriptor_) != 0) refuse(error_text(errno));
  if (::close(std::exchange(descriptor_, -1)) != 0) refuse(error_text(errno));
  if (::rename(temporary_.c_str(), target_.c_str()) != 0) refuse(error_text(errno));
  temporary_.clear();
  forget_unfinished_file(std::exchange(slot_, -1));
  // The new name too is to survive a crash of the machine; the bytes do already.
  const int folder = ::open(folder_of(target_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return;
  static_cast<void>(::fsync(folder));
  ::close(folder);
}

void OutputFile::check(const fs::path& path) {
  const Target target = find_target(path);
  if (!target.is_direct()) static_cast<void>(OutputFile(path));
}

void OutputFile::refuse(const std::string& why) const { refuse_path(path_, why); }

}  // namespace quern
