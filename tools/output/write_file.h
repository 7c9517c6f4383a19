#pragma once

#include <exception>
#include <string>
#include <string_view>

#include "quern/output_file.h"
#include "tools/cli/usage_error.h"

namespace quern::tools {

/// Fails now as write_file() would after the work. Leaves the file as it is. Errors: also
/// UsageError for "-", which would mix two outputs.
inline void check_writable(const std::string& path) {
  if (path == "-") usage_error("--output -: expected a file; standard output has the report");
  OutputFile::check(path);
}

/// Writes `text` as the whole of a file, as an OutputFile. Errors: bad_file with the reason.
inline void write_file(const std::string& path, std::string_view text) {
  OutputFile file(path);
  file.write(text);
  file.finish();
}

/// Runs `write`, which writes a file, and then `print(written)`, which reports what was done; a
/// file that cannot be written is an error only after the report.
template <typename Write, typename Print>
void write_then_print(const Write& write, const Print& print) {
  std::exception_ptr error;
  try {
    write();
  } catch (...) {
    error = std::current_exception();
  }
  print(!error);
  if (error) std::rethrow_exception(error);
}

}  // namespace quern::tools
