#pragma once

#include <cstddef>
#include <string_view>

namespace quern {

/// Finds the end of a JSON object or list in a text that grows, reading each byte once. Whether
/// what lies between is JSON it does not tell.
class JsonScanner {
 public:
  enum class Status { incomplete, complete, invalid };

  /// Goes on in `text`, which begins with what was there before. White space in front is skipped.
  Status scan(std::string_view text) {
    for (; at_ < text.size(); ++at_) {
      const char c = text[at_];
      if (is_escaped_) {
        is_escaped_ = false;
      } else if (in_string_) {
        is_escaped_ = c == '\\';
        in_string_ = c != '"';
      } else if (c == '{' || c == '[') {
        ++depth_;
      } else if (depth_ == 0) {
        if (c != ' ' && c != '\n' && c != '\r' && c != '\t') return Status::invalid;
      } else if (c == '"') {
        in_string_ = true;
      } else if ((c == '}' || c == ']') && --depth_ == 0) {
        ++at_;
        return Status::complete;
      }
    }
    return Status::incomplete;
  }
  /// Behind the last byte that was read.
  std::size_t end() const { return at_; }

 private:
  std::size_t at_ = 0;
  std::size_t depth_ = 0;
  bool in_string_ = false;
  bool is_escaped_ = false;
};

}  // namespace quern
