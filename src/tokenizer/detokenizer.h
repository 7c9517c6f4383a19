#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "quern/tokenizer.h"
#include "tokenizer/decode/clean_up.h"

namespace quern {

/// Turns ids into text as they come and never gives out half a character: bytes wait until their
/// UTF-8 sequence is whole or is known to be broken (then U+FFFD, as decode() gives). Where
/// decode() cleans up spaces, one that may go waits, too. From Start::text the pieces joined equal
/// Tokenizer::decode of all ids, but for decoders that no family has: BPEDecoder, Metaspace where a
/// first token has several spaces, and behind Fuse a Replace, a Metaspace or a Strip of more than
/// one space.
class Detokenizer {
 public:
  /// What the ids follow. Where a text begins, some tokenizers (SentencePiece) take away the space
  /// that encoding put in front; in a continuation of earlier ids it is part of the text.
  enum class Start { text, continuation };

  /// `tokenizer` must outlive this.
  Detokenizer(const Tokenizer& tokenizer, bool skip_special, Start start = Start::text);

  /// The new text after `id`, perhaps empty. An id beyond the tokenizer's vocabulary gives nothing:
  /// models round theirs up. Errors: invalid_argument for a negative id.
  std::string add(std::int32_t id);
  /// What still waits, at the end of the ids.
  std::string finish();

 private:
  const Tokenizer* tokenizer_;
  bool skip_special_;
  /// The text of one id before spaces are cleaned up.
  std::string decode(std::int32_t id);
  /// Appends bytes of a token of text; returns what is whole now.
  std::string take(std::string_view bytes);
  /// The same for the byte of a byte token.
  std::string take_byte(char byte);
  std::string replace_bytes();
  std::string flush_bytes();

  bool at_start_;
  std::string pending_;
  std::optional<SpaceCleaner> cleaner_;  // where the tokenizer cleans up spaces
  // Byte tokens that follow each other: if together they are not UTF-8, each becomes U+FFFD, so
  // they wait until another token comes or they are known to be broken.
  std::string bytes_;
  std::size_t checked_bytes_ = 0;  // so many of them are whole characters
  bool bytes_are_broken_ = false;
};

}  // namespace quern
