#include "tools/input/text_input.h"

#include "tools/cli/fail.h"

namespace quern::tools {

void require_utf8(std::string_view text, const std::string& source) {
  if (const auto offset = invalid_utf8_at(text)) {
    fail(ErrorCode::bad_file, "{}: expected UTF-8, got another byte at offset {}", source, *offset);
  }
}

std::string read_utf8_file(const std::string& file) {
  std::string text = read_text_file(file, kMaxTextBytes);
  require_utf8(text, file);
  return text;
}

}  // namespace quern::tools
