#include "tokenizer/vocabulary.h"

#include <algorithm>
#include <bit>

#include "base/error.h"
#include "io/json/json.h"
#include "tokenizer/models/seeded_hash.h"

namespace quern {

Vocabulary::Vocabulary(std::vector<Entry> entries, const std::string& where) {
  // Room for the gaps of real vocabularies, not for one id that would take all memory.
  constexpr std::size_t kMaxGaps = std::size_t{1} << 22;
  const std::size_t max_size = entries.size() + kMaxGaps;
  std::size_t size = 0;
  for (const auto& [token, id] : entries) {
    if (id < 0 || static_cast<std::size_t>(id) >= max_size) {
      fail(ErrorCode::bad_file, "{}: token {} has id {}, expected 0 to {}", where,
           quoted_name(token), id, max_size - 1);
    }
    size = std::max(size, static_cast<std::size_t>(id) + 1);
  }
  tokens_.resize(size);
  places_.resize(std::bit_ceil(entries.size() + entries.size() / 2 + 2));
  for (Entry& entry : entries) {
    std::string token = std::move(entry.first);
    Place& place = places_[place_of(token)];
    const bool is_new = place.id < 0;
    if (is_new) ++num_tokens_;
    place.hash = static_cast<std::uint32_t>(seeded_hash(token));
    if (!is_new && place.name < 0) tokens_[static_cast<std::size_t>(place.id)].clear();
    place.id = entry.second;
    place.name = -1;
    std::string& slot = tokens_[static_cast<std::size_t>(entry.second)];
    if (slot.empty()) {
      slot = std::move(token);
    } else {
      place.name = static_cast<std::int32_t>(names_.size());
      names_.push_back(std::move(token));
    }
  }
}

std::string_view Vocabulary::name_at(const Place& place) const {
  return place.name >= 0 ? names_[static_cast<std::size_t>(place.name)]
                         : tokens_[static_cast<std::size_t>(place.id)];
}

std::size_t Vocabulary::place_of(std::string_view token) const {
  const std::uint64_t hash = seeded_hash(token);
  const std::size_t mask = places_.size() - 1;
  std::size_t at = hash >> 32 & mask;
  while (places_[at].id >= 0 &&
         (places_[at].hash != static_cast<std::uint32_t>(hash) || name_at(places_[at]) != token)) {
    at = (at + 1) & mask;
  }
  return at;
}

std::optional<std::int32_t> Vocabulary::find(std::string_view token) const {
  const Place& place = places_[place_of(token)];
  if (place.id < 0) return std::nullopt;
  return place.id;
}

}  // namespace quern
