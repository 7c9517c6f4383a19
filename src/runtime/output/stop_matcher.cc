#include "runtime/output/stop_matcher.h"

#include <algorithm>
#include <cstddef>

namespace quern {

std::string StopMatcher::add(std::string_view piece, bool hidden) {
  if (matched_) return {};
  // Memory may run out: then both stay as long as each other.
  const std::size_t size = hidden_.size() + piece.size();
  if (size > hidden_.capacity()) hidden_.reserve(std::max(size, 2 * hidden_.capacity()));
  pending_ += piece;
  hidden_.insert(hidden_.end(), piece.size(), hidden);
  // The first complete match: the result does not depend on how the text is split.
  std::size_t first_end = std::string::npos;
  std::size_t shown = pending_.size() - held_back_bytes();
  for (const std::string& stop : stops_) {
    const std::size_t begin = pending_.find(stop);
    if (begin == std::string::npos) continue;
    const std::size_t end = begin + stop.size();
    if (end > first_end || (end == first_end && begin > shown)) continue;
    first_end = end;
    shown = begin;
    matched_ = true;
  }
  std::string text = take(shown);
  if (matched_) take(pending_.size());
  return text;
}

std::string StopMatcher::take(std::size_t num_bytes) {
  std::string text;
  for (std::size_t i = 0; i < num_bytes; ++i) {
    if (!hidden_[i]) text += pending_[i];
  }
  pending_.erase(0, num_bytes);
  hidden_.erase(hidden_.begin(), hidden_.begin() + static_cast<std::ptrdiff_t>(num_bytes));
  return text;
}

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
