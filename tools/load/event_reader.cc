#include "tools/load/event_reader.h"

#include <algorithm>
#include <utility>

namespace quern::tools {

std::vector<std::string> EventReader::feed(std::string_view bytes) {
  std::vector<std::string> events;
  for (const char byte : bytes) {
    const bool second_half = std::exchange(skips_newline_, byte == '\r') && byte == '\n';
    if (second_half) continue;
    if (byte == '\n' || byte == '\r') {
      end_line(events);
    } else {
      line_ += byte;
    }
  }
  return events;
}

void EventReader::end_line(std::vector<std::string>& events) {
  const std::string line = std::exchange(line_, "");
  if (line.empty()) {
    if (std::exchange(has_data_, false)) events.push_back(std::exchange(data_, ""));
    return;
  }
  const std::string_view field = std::string_view(line).substr(0, line.find(':'));
  if (field != "data") return;
  std::string_view value = std::string_view(line).substr(std::min(field.size() + 1, line.size()));
  if (value.starts_with(' ')) value.remove_prefix(1);
  if (std::exchange(has_data_, true)) data_ += '\n';
  data_ += value;
}

}  // namespace quern::tools
