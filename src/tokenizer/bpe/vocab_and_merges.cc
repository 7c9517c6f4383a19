#include "tokenizer/bpe/vocab_and_merges.h"

#include <utility>

#include "base/error.h"
#include "tokenizer/bpe/byte_level_bpe.h"
#include "tokenizer/bpe/byte_level_class.h"
#include "tokenizer/config/special_tokens.h"
#include "tokenizer/token_tables.h"

namespace quern {

TokenizerParts load_vocab_and_merges(const std::filesystem::path& vocab_path,
                                     const std::filesystem::path& merges_path,
                                     const TokenizerConfig& config) {
  const ByteLevelClass* known = find_byte_level_class(config.tokenizer_class);
  if (known == nullptr) {
    fail(ErrorCode::unsupported,
         "{}: how to cut text is not in this file, and tokenizer_config.json's tokenizer_class or "
         "config.json's model_type gives '{}', expected GPT2Tokenizer or Qwen2Tokenizer",
         vocab_path.string(), config.tokenizer_class);
  }
  auto [vocabulary, bpe] =
      build_bpe({read_vocab_json(vocab_path), read_merges_txt(merges_path)},
                ids_of(config.added_tokens), vocab_path.string(), merges_path.string());
  PreTokenizer pretokenizer;
  if (config.add_prefix_space.value_or(false)) pretokenizer.add_prefix_space();
  pretokenizer.add_split(Regex(known->pattern, Regex::Syntax::pattern, known->name),
                         PreTokenizer::Keep::all);
  TokenizerParts parts;
  parts.model =
      std::make_unique<ByteLevelBpe>(std::move(vocabulary), std::move(bpe), std::move(pretokenizer),
                                     ByteLevelBpe::Options{.nfc = known->nfc});
  parts.description = "byte-level BPE (vocab.json, merges.txt)";
  apply_config(config, default_tokens(config.tokenizer_class), vocab_path.string(), parts);
  return parts;
}

}  // namespace quern
