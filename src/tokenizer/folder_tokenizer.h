#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "quern/tokenizer.h"
#include "tokenizer/added_tokens.h"
#include "tokenizer/token_model.h"

namespace quern {

/// Everything that makes a tokenizer, as the files of a folder say.
struct TokenizerParts {
  std::unique_ptr<TokenModel> model;
  std::vector<AddedToken> added_tokens;
  std::vector<std::int32_t> prefix_ids;  ///< what goes in front of a text: BOS, or nothing
  std::vector<std::int32_t> suffix_ids;  ///< what goes behind it, mostly nothing
  std::optional<std::int32_t> bos_id;
  std::vector<std::int32_t> eos_ids;
  std::string description;
};

/// The one Tokenizer: added tokens, BOS and the like around a model for the text between them.
class FolderTokenizer final : public Tokenizer {
 public:
  explicit FolderTokenizer(TokenizerParts parts);

  std::vector<std::int32_t> encode(std::string_view text,
                                   const EncodeOptions& options) const override;
  std::string token_bytes(std::int32_t id) const override;
  std::string decode(std::span<const std::int32_t> ids, bool skip_special) const override;
  bool is_special(std::int32_t id) const override;
  std::optional<std::int32_t> token_to_id(std::string_view token) const override;
  std::int32_t vocab_size() const override { return vocab_size_; }
  std::optional<std::int32_t> bos_id() const override { return parts_.bos_id; }
  std::vector<std::int32_t> eos_ids() const override { return parts_.eos_ids; }
  bool drops_leading_space() const override { return parts_.model->drops_leading_space(); }
  std::string description() const override { return parts_.description; }

 private:
  /// BOS in front, for these options.
  std::vector<std::int32_t> prefix(const EncodeOptions& options) const;
  void encode_text(std::string_view text, bool parse_special, std::vector<std::int32_t>& ids) const;
  void check_id(std::int32_t id) const;

  TokenizerParts parts_;
  AddedTokens added_tokens_;
  std::int32_t vocab_size_ = 0;
};

}  // namespace quern
