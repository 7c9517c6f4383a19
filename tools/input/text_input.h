#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>

#include "quern/files.h"
#include "quern/text.h"

namespace quern::tools {

inline constexpr std::size_t kMaxTextBytes = std::size_t{256} << 20;

/// The file name that means standard input.
inline constexpr const char* kStdinName = "-";

/// What messages call a file: its name, or "standard input" for "-".
std::string input_name(const std::string& file);

/// The bytes of a text that the command line names, piece by piece: a file, which is read as it is
/// asked for, or "-", a pipe or another device, which are read to their end.
class InputBytes {
 public:
  /// Errors: not_found; bad_file for a folder, an unreadable file, and a pipe with more than
  /// kMaxTextBytes.
  explicit InputBytes(const std::string& file);

  /// The next bytes, at most `count`; nothing at the end. Errors: bad_file, also for a file that
  /// was cut short meanwhile.
  std::string read(std::size_t count);

 private:
  std::unique_ptr<const OpenFile> file_;
  std::unique_ptr<const std::string> read_;  ///< of what can be read only once
  std::uint64_t position_ = 0;
};

/// An option that takes a text, and the file it was given, if it was.
struct InputOption {
  const char* option;
  std::string_view file;
};

/// Throws a UsageError naming both when two of the options want standard input.
void reject_stdin_twice(std::initializer_list<InputOption> inputs);

/// The whole of an open file descriptor. `source` is what errors call it. Errors: bad_file.
std::string read_to_end(int descriptor, const std::string& source);

/// Errors: bad_file naming `source` and the byte where `text` is not UTF-8.
void require_utf8(std::string_view text, const std::string& source);

/// A text of at most kMaxTextBytes, from a file, "-" or a pipe. Errors: not_found; bad_file, also
/// for another encoding than UTF-8.
std::string read_utf8_file(const std::string& file);

}  // namespace quern::tools
