#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace quern {

/// Tokens by id and ids by token, in the written form of the files. Ids may leave gaps. Of a token
/// that is there twice the later id counts, of an id the first token, as with Hugging Face.
class Vocabulary {
 public:
  using Entry = std::pair<std::string, std::int32_t>;

  /// `where` names file and key in errors. Errors: bad_file for an id below 0 or beyond what a
  /// vocabulary of so many tokens can have.
  Vocabulary(std::vector<Entry> entries, const std::string& where);

  /// One more than the largest id.
  std::int32_t size() const { return static_cast<std::int32_t>(tokens_.size()); }
  /// How many tokens there are.
  std::int32_t num_tokens() const { return num_tokens_; }
  /// Empty for an id without a token; `id` must be below size().
  const std::string& token(std::int32_t id) const { return tokens_[static_cast<std::size_t>(id)]; }
  std::optional<std::int32_t> find(std::string_view token) const;

 private:
  std::size_t place_of(std::string_view token) const;

  struct Place {
    std::uint32_t hash = 0;
    std::int32_t id = -1;    // -1: free
    std::int32_t name = -1;  // of a token whose id has another name: in names_
  };
  std::string_view name_at(const Place& place) const;

  std::vector<std::string> tokens_;
  std::vector<std::string> names_;
  std::vector<Place> places_;  // a hash table with open addressing
  std::int32_t num_tokens_ = 0;
};

}  // namespace quern
