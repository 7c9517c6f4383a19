#include "tools/write_file.h"

#include <cerrno>
#include <cstring>
#include <fstream>

#include "base/error.h"

namespace quern::tools {

void write_file(const std::string& path, std::string_view text) {
  std::ofstream stream(path, std::ios::binary);
  stream << text;
  stream.close();
  if (!stream) fail(ErrorCode::bad_file, "{}: cannot write: {}", path, std::strerror(errno));
}

}  // namespace quern::tools
