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

/// When a beam search ends, as transformers' `early_stopping`.
enum class EarlyStopping {
  off,    ///< once no running beam is likely to beat the worst finished one
  on,     ///< as soon as num_beams beams have finished
  never,  ///< once no running beam can beat the worst finished one at any length
};

/// Beam search as transformers' `generate` defines it, without sampling: the sum of a beam's
/// log-probabilities, after penalties, divided by its number of tokens to the power of
/// length_penalty is its score.
struct BeamSearchParams {
  int num_beams = 1;  ///< 1: no beam search; at most EngineOptions::max_seqs
  /// Above 0 favours longer texts, below 0 shorter ones.
  float length_penalty = 1.0f;
  EarlyStopping early_stopping = EarlyStopping::off;
};

/// A prompt and its generation parameters. The prompt is `prompt_ids` unless they are empty, else
/// `prompt`.
struct Request {
  std::string prompt;                    ///< UTF-8
  std::vector<std::int32_t> prompt_ids;  ///< used as given: no BOS is added
  bool parse_special = true;             ///< see EncodeOptions
  std::optional<bool> add_bos;           ///< see EncodeOptions

  SamplingParams sampling;
  BeamSearchParams beam_search;
  /// The number of answers, at least 1. Without beam search each draws random numbers of its own,
  /// the first those of a request for one; they share the prompt's KV blocks. With beam search the
  /// best so many beams, at most num_beams.
  int num_return_sequences = 1;
  /// At least 1. Unset: generation_config's max_new_tokens, else 128.
  std::optional<int> max_new_tokens;
  /// No EOS token before so many new tokens; at most max_new_tokens. Unset: generation_config's.
  std::optional<int> min_new_tokens;
  /// Token ids that end the text in addition to ModelInfo::eos_token_ids, also with ignore_eos.
  std::vector<std::int32_t> stop_token_ids;
  /// Sequences of token ids that may not appear, in addition to generation_config's.
  std::vector<std::vector<std::int32_t>> bad_words_ids;
  /// Ends the text before the first of these; matched on text, not on ids. None may be empty.
  std::vector<std::string> stop;
  bool ignore_eos = false;    ///< do not stop at EOS tokens
  bool keep_special = false;  ///< keep special tokens in the text
  /// Log-probabilities of the chosen tokens and of this many best ones (0 … kMaxTopLogprobs).
  /// Unset: none.
  std::optional<int> top_logprobs;
  /// Log-probabilities of the prompt's tokens from the second on, each after those before it, and
  /// of this many best ones (0 … kMaxTopLogprobs). All prompt positions are then computed: none
  /// comes from the prefix cache. Unset: none.
  std::optional<int> prompt_logprobs;
};

enum class FinishReason {
  stop,         ///< one of ModelInfo::eos_token_ids or Request::stop_token_ids
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

/// One of several answers to a request.
struct SequenceResult {
  std::vector<std::int32_t> output_ids;
  std::string text;
  FinishReason finish_reason = FinishReason::stop;
  std::string error;                    ///< see Result::error
  std::vector<TokenLogprobs> logprobs;  ///< see Result::logprobs
  std::optional<float> score;           ///< see Result::score
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
  /// If asked for: one for each of prompt_ids but the first. Fewer where the request ended before
  /// its prompt was computed.
  std::vector<TokenLogprobs> prompt_logprobs;
  std::uint64_t seed = 0;
  /// Prompt tokens whose keys and values came from the prefix cache; see
  /// EngineOptions::prefix_cache.
  int cached_prompt_tokens = 0;
  /// With beam search, if the text ended: see BeamSearchParams.
  std::optional<float> score;
  /// All answers where Request::num_return_sequences is more than 1, else empty. The first is also
  /// in the fields above; beams come best first.
  std::vector<SequenceResult> sequences;
};

/// New output of one request after a step. With num_return_sequences each answer has its own
/// updates; a beam search gives its answers with its end only.
struct Update {
  RequestId id = 0;
  int sequence = 0;                     ///< the answer: 0 … num_return_sequences - 1
  std::vector<std::int32_t> token_ids;  ///< new output ids
  std::string
      text;  ///< new text; whole characters, and nothing that a stop string may still take back
  std::vector<TokenLogprobs> logprobs;         ///< one for each of token_ids, if asked for
  std::vector<TokenLogprobs> prompt_logprobs;  ///< see Result; all of them, in the first update
  std::optional<FinishReason> finish_reason;   ///< set on the last update of an answer
  bool last = false;  ///< the request's last update: all its answers have ended
  std::string error;  ///< see Result::error; on the last update
};

}  // namespace quern
