#pragma once

#include <string>
#include <vector>

#include "tools/server/openai/generation_fields.h"

namespace quern::tools {

/// A text, or the ids of its tokens.
struct CompletionPrompt {
  std::string text;
  std::vector<std::int32_t> ids;  ///< empty: the text
};

/// What /v1/completions was asked for.
struct CompletionFields {
  GenerationFields generation;
  std::vector<CompletionPrompt> prompts;
  bool echo = false;
  bool only_prompt = false;  ///< max_tokens 0: the request computes one token, nobody gets it
};

/// Errors: ApiError 400 naming the field.
CompletionFields parse_completion_fields(std::string_view body, const ModelLimits& limits);

}  // namespace quern::tools
