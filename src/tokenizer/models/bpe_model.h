#pragma once

#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tokenizer/models/merge_rules.h"
#include "tokenizer/token_model.h"
#include "tokenizer/vocabulary.h"

namespace quern {

/// BPE of Hugging Face's tokenizers. Source: models/bpe/model.rs.
class BpeModel final : public TokenModel {
 public:
  struct Options {
    /// The symbols of a piece are its bytes in GPT-2's alphabet; else its characters.
    bool byte_level = false;
    /// A piece that is a token is taken whole, whatever the merges say.
    bool ignore_merges = false;
    /// What has no token becomes the tokens "<0x00>" to "<0xFF>" of its bytes.
    bool byte_fallback = false;
    bool fuse_unk = false;
    std::optional<std::string> unk_token;
    std::string continuing_subword_prefix;  ///< in front of all characters but the first
    std::string end_of_word_suffix;         ///< behind the last one
  };
  using Merges = std::vector<std::pair<std::string, std::string>>;

  /// `merges_where` names file and key in errors. Errors: bad_file for a merge whose parts or
  /// result are no tokens.
  BpeModel(Vocabulary vocabulary, const Merges& merges, Options options,
           const std::string& merges_where);
  /// With rules that make tokens of the vocabulary out of two shorter ones.
  BpeModel(Vocabulary vocabulary, MergeRules rules, Options options);

  std::unique_ptr<Encoder> make_encoder(std::size_t text_bytes) const override;
  std::string token(std::int32_t id) const override { return vocabulary_.token(id); }
  std::optional<std::int32_t> find(std::string_view token) const override {
    return vocabulary_.find(token);
  }
  std::int32_t size() const override { return vocabulary_.size(); }
  std::int32_t num_tokens() const override { return vocabulary_.num_tokens(); }
  std::size_t max_token_bytes() const override { return max_token_bytes_; }
  bool fuses_unknown() const override { return options_.fuse_unk && options_.unk_token; }

 private:
  class BpeEncoder;

  void prepare();
  void note_junction(std::string_view left, std::string_view right);

  Vocabulary vocabulary_;
  Options options_;
  MergeRules rules_;
  std::array<std::int32_t, 256> byte_ids_{};      // byte_level: of the bytes; else of ASCII
  std::array<std::int32_t, 256> fallback_ids_{};  // of "<0x00>" to "<0xFF>"
  std::optional<std::int32_t> unk_id_;
  std::size_t max_token_bytes_ = 1;
  /// Which last byte of one symbol and first byte of the next some rule joins.
  std::unique_ptr<std::bitset<65536>> junctions_;
};

}  // namespace quern
