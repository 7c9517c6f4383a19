#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/normalize/normalizer.h"

namespace quern {

/// A SentencePiece charsmap: a double array (a trie in an array of 32-bit units) over the strings
/// that are replaced, and the replacements. Every unit that a walk can reach is checked against
/// the array's bounds. Source: SentencePiece's builder.h and Darts-clone's darts.h.
class Charsmap {
 public:
  /// Errors: bad_file naming `where` for bytes that are no charsmap.
  Charsmap(std::string_view bytes, const std::string& where);

  struct Match {
    std::size_t length_bytes = 0;  ///< of the text that is replaced; 0 when nothing is
    std::string_view replacement;
  };
  /// The longest or the shortest string that is replaced among those that `text` begins with.
  Match find(std::string_view text, bool longest) const;

 private:
  std::vector<std::uint32_t> units_;
  std::string replacements_;  // each ends with a zero byte
};

/// Precompiled of Hugging Face's tokenizers: grapheme by grapheme where a whole grapheme of fewer
/// than 6 bytes is replaced, else character by character, each by the shortest match that covers
/// all of it.
class PrecompiledNormalizer final : public Normalizer {
 public:
  PrecompiledNormalizer(std::string_view charsmap, const std::string& where)
      : charsmap_(charsmap, where) {}
  void normalize(NormalizedText& text) const override;

 private:
  Charsmap charsmap_;
};

}  // namespace quern
