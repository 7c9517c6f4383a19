#pragma once

#include <string>
#include <string_view>

#include "quern/log.h"

namespace quern::testing {

/// Collects the library's log while it lives, a line a message.
class LogCapture {
 public:
  LogCapture() {
    set_log_sink([this](LogLevel, std::string_view message) {
      text_.append(message);
      text_ += '\n';
    });
  }
  LogCapture(const LogCapture&) = delete;
  LogCapture& operator=(const LogCapture&) = delete;
  ~LogCapture() { set_log_sink({}); }

  const std::string& text() const { return text_; }
  bool has(std::string_view part) const { return text_.find(part) != std::string::npos; }

 private:
  std::string text_;
};

}  // namespace quern::testing
