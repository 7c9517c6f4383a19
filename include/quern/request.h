#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "quern/export.h"
#include "quern/limits.h"
#include "quern/sampling.h"

namespace quern {

using RequestId = std::uint64_t;

/// A prompt and its generation parameters. The prompt is `prompt_ids` unless they are empty, else
/// `prompt`.
struct Request {
  std::string prompt;                    ///< UTF-8
  std::vector<std::int32_t> prompt_ids;  ///< used as given: no BOS is added
  bool parse_special = true;             ///< see EncodeOptions
  std::optional<bool> add_bos;           ///< see EncodeOptions

  SamplingParams sampling;
  /// At least 1. Unset: generation_config's max_new_tokens, else 128.
  std::optional<int> max_new_tokens;
  /// Ends the text before the first of these; matched on text, not on ids. None may be empty.
  std::vector<std::string> stop;
  bool ignore_eos = false;    ///< do not stop at EOS tokens
  bool keep_special = false;  ///< keep special tokens in the text
  /// Log-probabilities of the chosen tokens and of this many best ones (0 … kMaxTopLogprobs).
  /// Unset: none.
  std::optional<int> top_logprobs;
};

enum class FinishReason {
  stop,         ///< one of ModelInfo::eos_token_ids
  stop_string,  ///< one of Request::stop
  length,       ///< max_new_tokens
  context,      ///< the model's or the engine's max_seq_len
  cancelled,
  error,  ///< failed: see Result::error
};

/// "stop", "stop_string", "length", "context", "cancelled", "error".
QUERN_API const char* finish_reason_name(FinishReason reason);

/// Natural logarithm of the softmax of the raw logits, before any sampling parameter.
struct TokenLogprob {
  std::int32_t id = 0;
  float logprob = 0.0f;
};

struct TokenLogprobs {
  std::int32_t id = 0;  ///< the chosen token
  float logprob = 0.0f;
  std::vector<TokenLogprob> top;  ///< best first
};

/// The whole output of a request.
struct Result {
  RequestId id = 0;
  std::vector<std::int32_t> prompt_ids;
  std::vector<std::int32_t> output_ids;  ///< ends with the EOS token when one was sampled
  std::string
      text;  ///< valid UTF-8, without EOS token, stop string and (unless kept) special tokens
  FinishReason finish_reason = FinishReason::stop;
  /// One line with FinishReason::error, else empty. Output up to the error is kept.
  std::string error;
  std::vector<TokenLogprobs> logprobs;  ///< one for each of output_ids, if asked for
  std::uint64_t seed = 0;
  /// Prompt tokens whose keys and values came from the prefix cache; see
  /// EngineOptions::prefix_cache.
  int cached_prompt_tokens = 0;
};

/// New output of one request after a step.
struct Update {
  RequestId id = 0;
  std::vector<std::int32_t> token_ids;  ///< new output ids
  std::string
      text;  ///< new text; whole characters, and nothing that a stop string may still take back
  std::vector<TokenLogprobs> logprobs;        ///< one for each of token_ids, if asked for
  std::optional<FinishReason> finish_reason;  ///< set on the last update of a request
  std::string error;                          ///< see Result::error; on the last update
};

}  // namespace quern
