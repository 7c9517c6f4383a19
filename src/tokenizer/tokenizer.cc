#include "quern/tokenizer.h"

#include "base/error.h"
#include "io/open_file.h"
#include "tokenizer/config/special_tokens.h"
#include "tokenizer/config/tokenizer_class.h"
#include "tokenizer/config/tokenizer_config.h"
#include "tokenizer/folder/folder_tokenizer.h"
#include "tokenizer/json/model_tables.h"
#include "tokenizer/json/tokenizer_json.h"
#include "tokenizer/models/tiktoken.h"
#include "tokenizer/sentencepiece/sentencepiece_file.h"
#include "tokenizer/sentencepiece/sentencepiece_model.h"
#include "tokenizer/tokenizer_file.h"

namespace quern {
namespace {

namespace fs = std::filesystem;

/// GPT-2's pair of files. How to split the text is not in them: the class says it.
TokenizerParts load_vocab_and_merges(const fs::path& vocab, const fs::path& merges,
                                     const TokenizerConfig& config) {
  const TokenizerClass name = config.rebuilt_class;
  if (name != TokenizerClass::gpt2 && name != TokenizerClass::qwen2) {
    fail(ErrorCode::unsupported,
         "{}: how to split text is not in this file, and tokenizer_class '{}' and model_type '{}' "
         "do not say it, expected GPT2Tokenizer or Qwen2Tokenizer",
         vocab.string(), config.tokenizer_class, config.model_type);
  }
  TokenizerParts parts;
  build_class(name, config, Vocabulary(read_vocab_json(vocab), vocab.string()),
              read_merges_txt(merges), merges.string(), parts);
  SpecialTokens special;
  special.file = vocab.string();
  apply_config(config, special, name, parts);
  parts.description = "byte-level BPE (vocab.json, merges.txt)";
  return parts;
}

TokenizerParts load_parts(const fs::path& folder) {
  const fs::path json = folder / "tokenizer.json";
  const fs::path qwen = folder / "qwen.tiktoken";
  const fs::path model = folder / "tokenizer.model";
  const fs::path vocab = folder / "vocab.json";
  const fs::path merges = folder / "merges.txt";
  std::error_code error;
  if (!fs::is_directory(folder, error)) {
    fail(ErrorCode::not_found, "{}: expected a model folder", folder.string());
  }
  const TokenizerConfig config = read_tokenizer_config(folder);
  if (is_listed(qwen) && (config.tokenizer_class == "QWenTokenizer" || !is_listed(json))) {
    return load_tiktoken(qwen, config, TiktokenKind::qwen);
  }
  if (is_listed(json)) return load_tokenizer_json(json, config);
  if (is_listed(model)) {
    if (is_tiktoken(read_tokenizer_file(model))) {
      return load_tiktoken(model, config, TiktokenKind::llama3);
    }
    return load_sentencepiece(model, config);
  }
  if (is_listed(vocab) && is_listed(merges)) return load_vocab_and_merges(vocab, merges, config);
  fail(ErrorCode::not_found,
       "{}: no tokenizer: expected tokenizer.json, qwen.tiktoken, tokenizer.model, or vocab.json "
       "with merges.txt",
       folder.string());
}

}  // namespace

std::unique_ptr<Tokenizer> Tokenizer::load(const fs::path& folder) {
  return std::make_unique<FolderTokenizer>(load_parts(folder));
}

}  // namespace quern
