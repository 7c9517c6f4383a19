#include "io/output/output_folder.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "io/unfinished_files.h"

namespace quern {
namespace fs = std::filesystem;
namespace {

[[noreturn]] void refuse_folder(const fs::path& path, const std::string& reason) {
  fail(ErrorCode::bad_file, "{}: cannot write a folder: {}", path.string(), reason);
}

[[noreturn]] void refuse_folder(const fs::path& path, int error_number) {
  refuse_folder(path, std::generic_category().message(error_number));
}

/// The target without links; see OutputFolder::check().
fs::path checked_target(const fs::path& path) {
  if (path.empty()) refuse_folder("''", "expected its name");
  std::error_code error;
  fs::path target = fs::weakly_canonical(fs::absolute(path), error);
  if (error) refuse_folder(path, error.message());
  if (!target.has_filename()) target = target.parent_path();  // of "folder/"
  const fs::path parent = target.parent_path();
  if (!fs::is_directory(parent, error)) {
    fail(ErrorCode::not_found, "{}: cannot write a folder there: no such folder: {}", path.string(),
         parent.string());
  }
  const fs::file_status status = fs::status(target, error);
  if (fs::exists(status)) {
    if (!fs::is_directory(status)) refuse_folder(path, "it is a file");
    const bool is_empty = fs::is_empty(target, error);
    if (error) refuse_folder(path, error.message());
    if (!is_empty) refuse_folder(path, "expected a new or empty one, got one with files in it");
  }
  if (::access(parent.c_str(), W_OK | X_OK) != 0) refuse_folder(path, errno);
  return target;
}

void sync_folder(const fs::path& path) {
  const int folder = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return;
  static_cast<void>(::fsync(folder));
  ::close(folder);
}

}  // namespace

OutputFolder::OutputFolder(const fs::path& target) : target_(checked_target(target)) {
  constexpr std::size_t kMaxNameBytes = 200;  // file systems take 255
  std::uint64_t random = 0;
  if (::getrandom(&random, sizeof(random), 0) != sizeof(random)) refuse_folder(target, errno);
  const std::string name = target_.filename().string().substr(0, kMaxNameBytes);
  temporary_ = target_.parent_path() / fmt::format(".{}.{:016x}.partial", name, random);
  slot_ = note_unfinished_file(temporary_);
  if (::mkdir(temporary_.c_str(), S_IRWXU | S_IRWXG | S_IRWXO) == 0) return;
  const int error_number = errno;
  forget_unfinished_file(slot_);
  refuse_folder(target, error_number);
}

OutputFolder::~OutputFolder() {
  if (temporary_.empty()) return;
  std::error_code ignored;
  fs::remove_all(temporary_, ignored);
  forget_unfinished_file(slot_);
}

void OutputFolder::finish() {
  sync_folder(temporary_);
  // An empty target is replaced; one that has been filled meanwhile is not.
  if (::rename(temporary_.c_str(), target_.c_str()) != 0) refuse_folder(target_, errno);
  temporary_.clear();
  forget_unfinished_file(std::exchange(slot_, -1));
  sync_folder(target_.parent_path());
}

void OutputFolder::check(const fs::path& target) { static_cast<void>(checked_target(target)); }

}  // namespace quern
