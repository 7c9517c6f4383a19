#include "runtime/stop_matcher.h"

#include <algorithm>
#include <utility>

namespace quern {

std::string StopMatcher::add(std::string_view piece) {
  if (matched_) return {};
  pending_ += piece;
  std::size_t earliest = std::string::npos;
  for (const std::string& stop : stops_) earliest = std::min(earliest, pending_.find(stop));
  matched_ = earliest != std::string::npos;
  const std::size_t shown = matched_ ? earliest : pending_.size() - held_back_bytes();
  std::string text = pending_.substr(0, shown);
  pending_.erase(0, matched_ ? std::string::npos : shown);
  return text;
}

std::string StopMatcher::finish() { return std::exchange(pending_, {}); }

std::size_t StopMatcher::held_back_bytes() const {
  std::size_t longest = 0;
  for (const std::string& stop : stops_) {
    for (std::size_t length = std::min(stop.size() - 1, pending_.size()); length > longest;
         --length) {
      if (std::string_view(pending_).ends_with(std::string_view(stop).substr(0, length))) {
        longest = length;
      }
    }
  }
  return longest;
}

}  // namespace quern
