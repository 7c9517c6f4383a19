#pragma once

#include <string_view>

#include "quern/tokenizer.h"
#include "tokenizer/added/added_tokens.h"

namespace quern {

/// Tells where added tokens are ordinary text: EncodeOptions::plain_ranges.
class PlainText {
 public:
  /// Both must outlive this.
  PlainText(std::string_view text, const EncodeOptions& options) : text_(text), options_(options) {}

  // For split() of `piece`, a part of the text: as it is, or normalized, where a token's place in
  // the text is not known. There it is plain if one of its occurrences in the piece is.
  AddedTokens::IsPlain within(std::string_view piece) const;
  AddedTokens::IsPlain within_normalized(std::string_view piece) const;

 private:
  bool is_control(const AddedToken& token) const;
  bool touches(std::size_t begin, std::size_t end) const;
  std::size_t offset_of(std::string_view piece) const {
    return static_cast<std::size_t>(piece.data() - text_.data());
  }

  std::string_view text_;
  const EncodeOptions& options_;
};

}  // namespace quern
