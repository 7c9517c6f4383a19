#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace quern {

/// Streaming search for stop strings; holds back text that may be the beginning of one.
class StopMatcher {
 public:
  /// None of `stops` may be empty.
  explicit StopMatcher(std::vector<std::string> stops) : stops_(std::move(stops)) {}

  /// Adds text and returns what can be emitted. After a match: the text before the stop string that
  /// was complete first (the longest of several), and nothing from then on.
  std::string add(std::string_view piece);
  /// The text still held back at the end of the stream.
  std::string finish();
  bool matched() const { return matched_; }

 private:
  std::size_t held_back_bytes() const;

  std::vector<std::string> stops_;
  std::string pending_;
  bool matched_ = false;
};

}  // namespace quern
