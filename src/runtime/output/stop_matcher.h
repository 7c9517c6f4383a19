#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace quern {

/// Streaming search for stop strings; holds back text that may be the beginning of one.
class StopMatcher {
 public:
  /// None of `stops` may be empty.
  explicit StopMatcher(std::vector<std::string> stops) : stops_(std::move(stops)) {}

  /// Adds text and returns what can be emitted. After a match: the text before the stop string that
  /// was complete first (the longest of several), and nothing from then on.
  std::string add(std::string_view piece) { return add(piece, false); }
  /// The same for text that can match but is never emitted, such as a special token's.
  std::string add_hidden(std::string_view piece) { return add(piece, true); }
  /// The text still held back at the end of the stream.
  std::string finish() { return take(pending_.size()); }
  bool matched() const { return matched_; }
  bool has_stops() const { return !stops_.empty(); }
  /// Forgets a match; text from here on can match again.
  void go_on() { matched_ = false; }

 private:
  std::string add(std::string_view piece, bool hidden);
  /// Takes bytes off the front of what is pending and returns those to show.
  std::string take(std::size_t num_bytes);
  std::size_t held_back_bytes() const;

  std::vector<std::string> stops_;
  std::string pending_;
  std::vector<bool> hidden_;  ///< by byte of pending_
  bool matched_ = false;
};

}  // namespace quern
