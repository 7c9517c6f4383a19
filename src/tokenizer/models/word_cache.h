#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include "tokenizer/models/seeded_hash.h"

namespace quern {

/// The ids of words seen before in the same text: half of a text's words are among a few hundred.
class WordCache {
 public:
  class Entry {
   public:
    bool holds(std::string_view word) const {
      return size_ == word.size() && std::memcmp(word_.data(), word.data(), size_) == 0;
    }
    void append_to(std::vector<std::int32_t>& ids) const {
      ids.insert(ids.end(), ids_.begin(), ids_.begin() + num_ids_);
    }
    /// Keeps the word, whose ids begin at `first`, if they are few.
    void assign(std::string_view word, const std::vector<std::int32_t>& ids, std::size_t first) {
      if (ids.size() - first > ids_.size()) return;
      size_ = static_cast<std::uint8_t>(word.size());
      num_ids_ = static_cast<std::uint8_t>(ids.size() - first);
      std::memcpy(word_.data(), word.data(), word.size());
      std::copy(ids.begin() + static_cast<std::ptrdiff_t>(first), ids.end(), ids_.begin());
    }

   private:
    friend class WordCache;
    std::uint8_t size_ = 0;
    std::uint8_t num_ids_ = 0;
    std::array<char, 22> word_{};
    std::array<std::int32_t, 6> ids_{};
  };

  /// For a text of so many bytes; a short one needs none.
  explicit WordCache(std::size_t text_bytes) {
    constexpr std::size_t kMinTextBytes = 4096;
    if (text_bytes >= kMinTextBytes) entries_.resize(kNumEntries);
  }

  /// Where the word is if it is here; null when it is not kept here at all.
  Entry* place_of(std::string_view word) {
    if (entries_.empty() || word.size() > Entry().word_.size()) return nullptr;
    return &entries_[seeded_hash(word) & (kNumEntries - 1)];
  }

 private:
  static constexpr std::size_t kNumEntries = 8192;
  std::vector<Entry> entries_;
};

}  // namespace quern
