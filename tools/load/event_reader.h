#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace quern::tools {

/// Reads server-sent events (the text/event-stream of the HTML standard) from a body that comes in
/// pieces. Comments and fields other than data are skipped.
class EventReader {
 public:
  /// The data of the events that these bytes complete.
  std::vector<std::string> feed(std::string_view bytes);
  /// Bytes that are kept since they complete no event yet.
  std::size_t num_pending_bytes() const { return line_.size() + data_.size(); }

 private:
  void end_line(std::vector<std::string>& events);

  std::string line_;  ///< what is there of the current one
  std::string data_;
  bool has_data_ = false;
  bool skips_newline_ = false;  ///< behind a carriage return
};

}  // namespace quern::tools
