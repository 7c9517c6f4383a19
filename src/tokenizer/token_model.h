#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace quern {

/// The part of a tokenizer that turns plain text into ids, knowing nothing of added tokens, BOS and
/// EOS. Immutable: threads may share it.
class TokenModel {
 public:
  virtual ~TokenModel();
  TokenModel(const TokenModel&) = delete;
  TokenModel& operator=(const TokenModel&) = delete;

  /// What happens to text before it is cut at added tokens that are looked for in normalized text.
  virtual std::string normalize(std::string_view text) const;
  /// Appends the ids of normalized, well-formed UTF-8. `at_start`: nothing stands in front of it.
  virtual void encode(std::string_view text, bool at_start,
                      std::vector<std::int32_t>& ids) const = 0;
  /// The bytes of an id below size(); none for one without a token.
  virtual std::string token_bytes(std::int32_t id) const = 0;
  /// The id of a token by its written form.
  virtual std::optional<std::int32_t> find(std::string_view token) const = 0;
  /// One more than the largest id.
  virtual std::int32_t size() const = 0;
  /// True when decoding drops one space at the very start, because encoding put it there.
  virtual bool drops_leading_space() const { return false; }

 protected:
  TokenModel() = default;
};

}  // namespace quern
