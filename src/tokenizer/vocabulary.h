#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace quern {

/// Tokens by id and ids by token, in the written form of the files.
class Vocabulary {
 public:
  using Entry = std::pair<std::string, std::int32_t>;

  /// Together with `other_ids`, which other tables hold, the ids must leave no gap. `where` names
  /// file and key in errors. Errors: bad_file for an empty or repeated token, a repeated id, or an
  /// id without a token.
  Vocabulary(std::vector<Entry> entries, std::vector<std::int32_t> other_ids,
             const std::string& where);
  Vocabulary(Vocabulary&&) = default;
  Vocabulary& operator=(Vocabulary&&) = default;
  Vocabulary(const Vocabulary&) = delete;
  Vocabulary& operator=(const Vocabulary&) = delete;
  ~Vocabulary() = default;

  /// One more than the largest id.
  std::int32_t size() const { return static_cast<std::int32_t>(tokens_.size()); }
  /// Empty for an id without a token; `id` must be below size().
  const std::string& token(std::int32_t id) const { return tokens_[static_cast<std::size_t>(id)]; }
  std::optional<std::int32_t> find(std::string_view token) const;

 private:
  std::vector<std::string> tokens_;
  std::unordered_map<std::string_view, std::int32_t> ids_;  // views of tokens_
};

}  // namespace quern
