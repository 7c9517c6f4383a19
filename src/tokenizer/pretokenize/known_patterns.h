#pragma once

#include <memory>
#include <string_view>

#include "tokenizer/pretokenize/pattern.h"

namespace quern {

/// GPT-2's pattern, which ByteLevel pre-tokenizers use by themselves. Source: encoder.py of GPT-2.
inline constexpr const char* kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
/// The pattern of Qwen, Qwen2 and Qwen3. Source: tokenization_qwen.py.
inline constexpr const char* kQwenPattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|)"
    R"(\s*[\r\n]+|\s+(?!\S)|\s+)";
/// The pattern of Llama 3 and of tiktoken's cl100k_base.
inline constexpr const char* kLlama3Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|)"
    R"(\s*[\r\n]+|\s+(?!\S)|\s+)";

/// A splitter written by hand for one of these patterns and their like, or null for another one.
/// It does what the regular expression does, in one pass over the text.
std::unique_ptr<Pattern> find_known_pattern(std::string_view regex);

}  // namespace quern
