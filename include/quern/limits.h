#pragma once

namespace quern {

// Maximum values of options and requests. Larger values are invalid_argument.

inline constexpr int kMaxThreads = 4096;         ///< EngineOptions::threads
inline constexpr int kMaxSeqs = 1 << 14;         ///< EngineOptions::max_seqs
inline constexpr int kMaxTokens = 1 << 24;       ///< max_seq_len, max_tokens_per_step
inline constexpr int kMaxTopLogprobs = 20;       ///< Request::top_logprobs, prompt_logprobs
inline constexpr int kMaxReturnSequences = 256;  ///< Request::num_return_sequences
inline constexpr int kMaxLogitBias = 256;        ///< entries of SamplingParams::logit_bias

}  // namespace quern
