#include "tokenizer/config/tokenizer_class.h"

#include <utility>

#include "tokenizer/config/tokenizer_config.h"
#include "tokenizer/normalize/text_normalizers.h"
#include "tokenizer/pretokenize/known_patterns.h"

namespace quern {
namespace {

constexpr const char* kMetaspace = "\u2581";

TokenizerClass class_named(const std::string& name) {
  if (name == "GPT2Tokenizer") return TokenizerClass::gpt2;
  if (name == "LlamaTokenizer") return TokenizerClass::llama;
  if (name == "Qwen2Tokenizer") return TokenizerClass::qwen2;
  return TokenizerClass::none;
}

/// The class that belongs to a model type.
TokenizerClass class_of_model(const std::string& model_type) {
  if (model_type == "gpt2") return TokenizerClass::gpt2;
  for (const char* known : {"qwen2", "qwen2_moe", "qwen3", "qwen3_moe"}) {
    if (model_type == known) return TokenizerClass::qwen2;
  }
  return TokenizerClass::none;
}

bool is_mistral(const std::string& model_type) {
  return model_type == "mistral" || model_type == "mixtral" || model_type == "ministral";
}

void build_byte_level(const char* pattern, bool add_prefix_space, TokenizerParts& parts) {
  // GPT-2 puts the space in front of the whole text, Qwen2 in front of every piece.
  const bool is_gpt2 = pattern == kGpt2Pattern;
  if (!is_gpt2) {
    parts.pre_tokenizers.push_back(std::make_unique<SplitPreTokenizer>(
        find_known_pattern(pattern), SplitBehavior::isolated, false));
  }
  parts.pre_tokenizers.push_back(
      std::make_unique<ByteLevelPreTokenizer>(add_prefix_space, is_gpt2, true));
  parts.decoders.push_back(std::make_unique<ByteLevelDecoder>());
}

}  // namespace

TokenizerClass rebuilt_class(const std::string& tokenizer_class, const std::string& model_type) {
  const TokenizerClass registered = class_of_model(model_type);
  if (tokenizer_class.empty()) return registered;
  // Mistral's folders are read as they are, whatever class they name; Qwen2's always as Qwen2's.
  if (is_mistral(model_type)) return TokenizerClass::none;
  if (model_type == "qwen2") return registered;
  return class_named(tokenizer_class);
}

void build_llama_pipeline(const TokenizerConfig& config, TokenizerParts& parts) {
  using Prepend = MetaspacePreTokenizer::Prepend;
  const bool has_prefix = config.add_prefix_space.value_or(true);
  const Prepend prepend = !has_prefix                     ? Prepend::never
                          : config.legacy.value_or(false) ? Prepend::always
                                                          : Prepend::first;
  parts.pre_tokenizers.push_back(
      std::make_unique<MetaspacePreTokenizer>(kMetaspace, prepend, false));
  parts.decoders.push_back(
      std::make_unique<ReplaceDecoder>(std::make_unique<LiteralPattern>(kMetaspace), " "));
  parts.decoders.push_back(std::make_unique<ByteFallbackDecoder>());
  parts.decoders.push_back(std::make_unique<FuseDecoder>());
  if (has_prefix) parts.decoders.push_back(std::make_unique<StripDecoder>(" ", 1, 0));
}

void build_class(TokenizerClass name, const TokenizerConfig& config, Vocabulary vocabulary,
                 const BpeModel::Merges& merges, const std::string& merges_where,
                 TokenizerParts& parts) {
  BpeModel::Options options;
  if (name == TokenizerClass::llama) {
    build_llama_pipeline(config, parts);
    options.fuse_unk = true;
    options.byte_fallback = true;
  } else if (name == TokenizerClass::qwen2) {
    parts.normalizers.push_back(std::make_unique<NormalFormNormalizer>(NormalForm::nfc));
    parts.max_shrinkage = 4;
    build_byte_level(kQwenPattern, config.add_prefix_space.value_or(false), parts);
    options.byte_level = true;
  } else {
    build_byte_level(kGpt2Pattern, config.add_prefix_space.value_or(false), parts);
    options.byte_level = true;
  }
  parts.model = std::make_unique<BpeModel>(std::move(vocabulary), merges, options, merges_where);
}

}  // namespace quern
