#include "tokenizer/vocabulary.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "io/json.h"

namespace quern {

Vocabulary::Vocabulary(std::vector<Entry> entries, std::vector<std::int32_t> other_ids,
                       const std::string& where) {
  const std::size_t max_size = entries.size() + other_ids.size();
  std::size_t size = 0;
  for (const auto& [token, id] : entries) {
    if (id < 0 || static_cast<std::size_t>(id) >= max_size) {
      fail(ErrorCode::bad_file, "{}: token {} has id {}, but there are {} tokens in all", where,
           quoted_name(token), id, max_size);
    }
    size = std::max(size, static_cast<std::size_t>(id) + 1);
  }
  tokens_.resize(size);
  ids_.reserve(entries.size());
  for (Entry& entry : entries) {
    std::string token = std::move(entry.first);
    const std::int32_t id = entry.second;
    if (token.empty()) fail(ErrorCode::bad_file, "{}: the token of id {} is empty", where, id);
    std::string& slot = tokens_[static_cast<std::size_t>(id)];
    if (!slot.empty()) {
      fail(ErrorCode::bad_file, "{}: tokens {} and {} have the same id {}", where,
           quoted_name(slot), quoted_name(token), id);
    }
    slot = std::move(token);
    if (!ids_.emplace(slot, id).second) {
      fail(ErrorCode::bad_file, "{}: token {} is there twice", where, quoted_name(slot));
    }
  }
  std::sort(other_ids.begin(), other_ids.end());
  for (std::size_t id = 0; id < size; ++id) {
    if (tokens_[id].empty() && !std::binary_search(other_ids.begin(), other_ids.end(), id)) {
      fail(ErrorCode::bad_file, "{}: no token has id {}", where, id);
    }
  }
}

std::optional<std::int32_t> Vocabulary::find(std::string_view token) const {
  const auto it = ids_.find(token);
  if (it == ids_.end()) return std::nullopt;
  return it->second;
}

}  // namespace quern
