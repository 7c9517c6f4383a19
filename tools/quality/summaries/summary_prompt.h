#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "quern/tokenizer.h"

namespace quern::tools {

/// How a model is asked for a summary.
enum class PromptStyle : std::uint8_t {
  tldr,  ///< the article and " TL;DR:", as GPT-2 and LLaMA
  chat,  ///< ChatML, with the system prompt that Qwen is asked with
};

/// "tldr", "chat".
const char* prompt_style_name(PromptStyle style);

/// chat where the tokenizer knows ChatML's tokens, else tldr.
PromptStyle default_prompt_style(const Tokenizer& tokenizer);

/// Makes prompts of articles as TensorRT-LLM's summarize.py does, and keeps each one's last
/// tokens; of a chat all but the article's first ones.
class SummaryPrompter {
 public:
  /// Errors: invalid_argument when the tokenizer does not know ChatML's tokens, or when chat's own
  /// tokens leave none for an article.
  SummaryPrompter(const Tokenizer& tokenizer, PromptStyle style, int max_input_length);

  std::vector<std::int32_t> prompt_ids(const std::string& article) const;

 private:
  const Tokenizer* tokenizer_;
  PromptStyle style_;
  std::size_t max_article_tokens_;
  std::vector<std::int32_t> head_;
  std::vector<std::int32_t> tail_;
};

}  // namespace quern::tools
