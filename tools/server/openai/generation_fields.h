#pragma once

#include <optional>
#include <string>

#include "quern/request.h"
#include "tools/server/openai/fields.h"

namespace quern::tools {

/// What the fields of a request are held against.
struct ModelLimits {
  int vocab_size = 0;
  int max_seq_len = 0;
  /// The model's generation_config samples; else the API's default, temperature 1, applies.
  bool samples = false;
};

/// What chats and completions have in common.
struct GenerationFields {
  std::optional<std::string> model;
  Request request;  ///< without a prompt, a limit of new tokens and log-probabilities
  bool stream = false;
  bool include_usage = false;  ///< of a stream
  bool return_token_ids = false;
  int priority = 0;
};

/// Errors: ApiError 400 naming the field.
GenerationFields parse_generation_fields(Fields& fields, const ModelLimits& limits);

/// max_tokens, or by its newer name max_completion_tokens.
std::optional<int> parse_max_tokens(Fields& fields, const ModelLimits& limits, int fewest = 1);

}  // namespace quern::tools
