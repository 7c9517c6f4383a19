#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "quern/export.h"

namespace quern {

/// A file that is written whole or not at all. Bytes go to a new file beside the target, with an
/// unpredictable name, which finish() puts in the target's place; until then a file that is there
/// stays as it is, and without finish() it stays for good. Links are followed: the file they lead
/// to is replaced, in its own folder. Devices, pipes, and open descriptors (/dev/stdout,
/// /proc/self/fd/N) are written directly. Errors of all members: bad_file naming the path with the
/// reason.
class QUERN_API OutputFile {
 public:
  /// Fails for a folder, a file or folder that may not be written, and a pipe that nobody reads.
  explicit OutputFile(std::filesystem::path path);
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;
  /// Removes what was written, unless it was finished.
  ~OutputFile();

  const std::filesystem::path& path() const { return path_; }

  void write(std::span<const std::byte> bytes);
  void write(std::string_view text) { write(std::as_bytes(std::span(text))); }

  /// Brings the bytes to the disk and the file to its place.
  void finish();

  /// Fails as the constructor and finish() would, as far as that can be told without a trace: for
  /// the start of long work.
  static void check(const std::filesystem::path& path);

 private:
  void open_temporary();
  void close() noexcept;
  [[noreturn]] void refuse(const std::string& reason) const;

  std::filesystem::path path_;
  std::filesystem::path target_;     ///< where links lead to
  std::filesystem::path temporary_;  ///< empty: written directly
  int descriptor_ = -1;
  int slot_ = -1;  ///< in the table of remove_unfinished_files()
};

/// Removes the temporary files of all OutputFiles that are not finished, and the temporary folder
/// of a quantize() in progress. For signal handlers of a program that is about to end: it is
/// async-signal-safe, and neither may go on after it.
QUERN_API void remove_unfinished_files() noexcept;

}  // namespace quern
