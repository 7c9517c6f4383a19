#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "tokenizer/models/bpe_model.h"
#include "tokenizer/tokenizer_parts.h"

namespace quern {

struct TokenizerConfig;

/// The classes of transformers 5 that build the pipeline by themselves and take from tokenizer.json
/// only the vocabulary, the merges, the added tokens and the post-processor.
enum class TokenizerClass : std::uint8_t { none, gpt2, llama, qwen2 };

/// The class that AutoTokenizer of transformers 5 takes for these names, of which each may be
/// empty: tokenizer_class without "Fast" (of tokenizer_config.json, else config.json) and
/// model_type.
TokenizerClass rebuilt_class(const std::string& tokenizer_class, const std::string& model_type);

/// Builds the class's pipeline. Errors: as BpeModel.
void build_class(TokenizerClass name, const TokenizerConfig& config, Vocabulary vocabulary,
                 const BpeModel::Merges& merges, const std::string& merges_where,
                 TokenizerParts& parts);

/// LLaMA's pipeline around a model.
void build_llama_pipeline(const TokenizerConfig& config, TokenizerParts& parts);

}  // namespace quern
