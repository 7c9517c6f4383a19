#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tokenizer/models/string_trie.h"
#include "tokenizer/token_model.h"
#include "tokenizer/vocabulary.h"

namespace quern {

/// Unigram: the segmentation of the highest score. Source: Kudo, "Subword Regularization", 2018;
/// Hugging Face tokenizers, models/unigram/model.rs; SentencePiece's unigram_model.cc.
class UnigramModel final : public TokenModel {
 public:
  struct Piece {
    std::string text;
    double score;
    bool is_used = true;  ///< else it stands for no text: control and byte pieces
  };
  struct Options {
    std::optional<std::int32_t> unk_id;
    bool byte_fallback = false;
    bool single_precision = false;  ///< adds scores as SentencePiece does
  };

  /// The ids are the places in `pieces`. Errors: bad_file naming `where` for an empty vocabulary,
  /// an unk_id outside it, a score that is no number, and pieces beyond all reason.
  UnigramModel(const std::vector<Piece>& pieces, Options options, const std::string& where);

  std::unique_ptr<Encoder> make_encoder(std::size_t text_bytes) const override;
  std::string token(std::int32_t id) const override { return vocabulary_.token(id); }
  std::optional<std::int32_t> find(std::string_view token) const override {
    return vocabulary_.find(token);
  }
  std::int32_t size() const override { return vocabulary_.size(); }
  std::int32_t num_tokens() const override { return vocabulary_.num_tokens(); }
  std::size_t max_token_bytes() const override { return max_token_bytes_; }
  bool fuses_unknown() const override { return true; }

 private:
  class UnigramEncoder;

  Vocabulary vocabulary_;
  Options options_;
  StringTrie trie_;
  std::vector<double> scores_;
  double unknown_score_ = 0;
  std::array<std::int32_t, 256> fallback_ids_{};
  bool has_fallback_ = false;
  std::size_t max_token_bytes_ = 1;
};

}  // namespace quern
