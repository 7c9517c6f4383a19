#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace quern {

/// Finds stop strings in text that comes in pieces, and holds back what may be the beginning of
/// one.
class StopMatcher {
 public:
  /// None of `stops` may be empty.
  explicit StopMatcher(std::vector<std::string> stops) : stops_(std::move(stops)) {}

  /// Adds a piece and returns the text that is safe to show. After a match: what came before the
  /// stop string that was complete first (the longest of several), and nothing ever after.
  std::string add(std::string_view piece);
  /// What was held back, when no more text comes.
  std::string finish();
  bool matched() const { return matched_; }

 private:
  std::size_t held_back_bytes() const;

  std::vector<std::string> stops_;
  std::string pending_;
  bool matched_ = false;
};

}  // namespace quern
