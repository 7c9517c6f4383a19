#include "tools/output/write_file.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "tools/cli/fail.h"
#include "tools/cli/usage_error.h"

namespace quern::tools {
namespace {

void close(std::ofstream& stream, const std::string& path) {
  stream.close();
  if (!stream) fail(ErrorCode::bad_file, "{}: cannot write: {}", path, std::strerror(errno));
}

}  // namespace

void check_writable(const std::string& path) {
  if (path == "-") usage_error("--output -: expected a file; standard output has the report");
  const bool existed = std::filesystem::exists(path);
  std::ofstream stream(path, std::ios::binary | std::ios::app);
  close(stream, path);
  if (!existed) std::filesystem::remove(path);
}

void write_file(const std::string& path, std::string_view text) {
  std::ofstream stream(path, std::ios::binary);
  stream << text;
  close(stream, path);
}

}  // namespace quern::tools
