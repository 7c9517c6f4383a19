#include "quern/tokenizer.h"

#include "base/error.h"
#include "io/open_file.h"
#include "tokenizer/bpe/tiktoken.h"
#include "tokenizer/bpe/tokenizer_json.h"
#include "tokenizer/bpe/vocab_and_merges.h"
#include "tokenizer/config/tokenizer_config.h"
#include "tokenizer/folder_tokenizer.h"
#include "tokenizer/sentencepiece/sentencepiece_model.h"
#include "tokenizer/tokenizer_file.h"

namespace quern {
namespace {

namespace fs = std::filesystem;

/// LLaMA's tokenizer.json is SentencePiece in another dress; the original file serves better.
bool is_byte_level(const fs::path& tokenizer_json) {
  return read_tokenizer_file(tokenizer_json).find("\"ByteLevel\"") != std::string::npos;
}

TokenizerParts load_parts(const fs::path& folder) {
  const fs::path json = folder / "tokenizer.json";
  const fs::path tiktoken = folder / "qwen.tiktoken";
  const fs::path sentencepiece = folder / "tokenizer.model";
  const fs::path vocab = folder / "vocab.json";
  const fs::path merges = folder / "merges.txt";
  if (!fs::is_directory(folder)) {
    fail(ErrorCode::not_found, "{}: expected a model folder", folder.string());
  }
  const TokenizerConfig config = read_tokenizer_config(folder);
  const bool has_sentencepiece = is_listed(sentencepiece);
  if (is_listed(tiktoken) && (config.tokenizer_class == "QWenTokenizer" || !is_listed(json))) {
    return load_tiktoken(tiktoken, config);
  }
  if (is_listed(json) && (!has_sentencepiece || is_byte_level(json))) {
    return load_tokenizer_json(json, config);
  }
  if (has_sentencepiece) return load_sentencepiece(sentencepiece, config);
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
