#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/bpe/bpe.h"
#include "tokenizer/pretokenize/pretokenizer.h"
#include "tokenizer/token_model.h"
#include "tokenizer/vocabulary.h"

namespace quern {

/// The ids of the 256 single bytes. Errors: bad_file naming `where` and a byte that UTF-8 text may
/// have but no token stands for.
Bpe::ByteIds byte_ids(const Vocabulary& vocabulary, const std::string& where);

/// Byte-level BPE: GPT-2, Llama 3, every Qwen.
class ByteLevelBpe final : public TokenModel {
 public:
  struct Options {
    bool nfc = false;  ///< normalize to NFC first
    bool ignore_merges =
        false;  ///< a piece that is a token is taken whole, whatever the merges say
  };

  ByteLevelBpe(Vocabulary vocabulary, Bpe bpe, PreTokenizer pretokenizer, Options options);

  std::string normalize(std::string_view text) const override;
  void encode(std::string_view text, bool at_start, std::vector<std::int32_t>& ids) const override;
  std::string token_bytes(std::int32_t id) const override;
  std::optional<std::int32_t> find(std::string_view token) const override;
  std::int32_t size() const override { return vocabulary_.size(); }

 private:
  Vocabulary vocabulary_;
  Bpe bpe_;
  PreTokenizer pretokenizer_;
  Options options_;
};

}  // namespace quern
