#pragma once

#include <memory>
#include <string>
#include <vector>

#include "quern/tokenizer.h"
#include "tokenizer/added/added_tokens.h"
#include "tokenizer/tokenizer_parts.h"

namespace quern {

/// The one Tokenizer: added tokens, BOS and the like around a pipeline for the text between them.
class FolderTokenizer final : public Tokenizer {
 public:
  explicit FolderTokenizer(TokenizerParts parts);

  std::vector<std::int32_t> encode(std::string_view text,
                                   const EncodeOptions& options) const override;
  std::string token_bytes(std::int32_t id) const override;
  std::string decode(std::span<const std::int32_t> ids, bool skip_special) const override;
  bool is_special(std::int32_t id) const override;
  bool is_byte(std::int32_t id) const override;
  std::optional<std::int32_t> token_to_id(std::string_view token) const override;
  std::int32_t vocab_size() const override { return vocab_size_; }
  std::optional<std::int32_t> bos_id() const override { return parts_.bos_id; }
  std::vector<std::int32_t> eos_ids() const override { return parts_.eos_ids; }
  bool drops_leading_space() const override { return drops_leading_space_; }
  bool cleans_up_spaces() const override { return parts_.cleans_up_spaces; }
  std::string description() const override { return parts_.description; }

 private:
  /// BOS in front, for these options.
  std::vector<std::int32_t> prefix(const EncodeOptions& options) const;
  void encode_text(std::string_view text, const EncodeOptions& options, std::size_t max_ids,
                   std::vector<std::int32_t>& ids) const;
  void check_length(std::string_view text, std::size_t max_ids) const;
  /// The written form, empty when no token has the id.
  std::string written(std::int32_t id) const;
  void note_decoders();

  TokenizerParts parts_;
  AddedTokens added_tokens_;
  std::int32_t vocab_size_ = 0;
  std::size_t max_token_bytes_ = 0;  // no id stands for more bytes of text; 0: not known
  bool drops_leading_space_ = false;
  bool has_byte_fallback_ = false;
};

}  // namespace quern
