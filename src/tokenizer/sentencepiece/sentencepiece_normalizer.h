#pragma once

#include <optional>
#include <string>

#include "tokenizer/normalize/normalizer.h"
#include "tokenizer/normalize/precompiled.h"
#include "tokenizer/sentencepiece/sentencepiece_file.h"

namespace quern {

/// What SentencePiece does to a text before it segments it, but for the dummy prefix: the longest
/// replacement of the charsmap at each place, no spaces at the ends and one between words if extra
/// ones are removed, U+2581 for a space. Source: SentencePiece's normalizer.cc.
class SentencePieceNormalizer final : public Normalizer {
 public:
  /// Errors: bad_file naming `file` for a charsmap that is none.
  SentencePieceNormalizer(const SentencePieceFile& model, const std::string& file);
  void normalize(NormalizedText& text) const override;

 private:
  std::optional<Charsmap> charsmap_;
  bool remove_extra_whitespaces_;
  bool escape_whitespaces_;
  bool dummy_suffix_;
};

/// The white space alone as transformers 5 has it: a U+2581 of the text is no space.
class SpaceNormalizer final : public Normalizer {
 public:
  explicit SpaceNormalizer(const SentencePieceFile& model)
      : remove_extra_whitespaces_(model.remove_extra_whitespaces),
        escape_whitespaces_(model.escape_whitespaces) {}
  void normalize(NormalizedText& text) const override;

 private:
  bool remove_extra_whitespaces_;
  bool escape_whitespaces_;
};

}  // namespace quern
