/* Part of quern/quern.h: requests, updates and results. */
#ifndef QUERN_C_REQUEST_H
#define QUERN_C_REQUEST_H

#include "quern/c/base.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct quern_logit_bias {
  int32_t id;
  float bias; /**< added to the token's logit */
} quern_logit_bias;

/** Sampling parameters. Unset ones are taken from the model's generation_config.json, else they are
    off; a model without one decodes greedily. Setting temperature or a filter turns sampling on.
    Meaning and ranges: quern/sampling.h, which has the same names. */
typedef struct quern_sampling_params {
  size_t struct_size; /**< sizeof(quern_sampling_params) */
  int32_t greedy;     /**< 1: argmax of the logits */
  /** ON: dry_sequence_breakers are given, even if there are none; DEFAULT: if there are any. */
  quern_choice dry_breakers_choice;
  quern_optional_float temperature;
  quern_optional_int top_k;
  quern_optional_float top_p;
  quern_optional_float min_p;
  quern_optional_float top_n_sigma;
  quern_optional_float typical_p;
  quern_optional_float epsilon_cutoff;
  quern_optional_float eta_cutoff;
  quern_optional_float xtc_probability;
  quern_optional_float xtc_threshold;
  quern_optional_float repetition_penalty;
  quern_optional_float presence_penalty;
  quern_optional_float frequency_penalty;
  quern_optional_int no_repeat_ngram_size;
  quern_optional_float dry_multiplier;
  quern_optional_float dry_base;
  quern_optional_int dry_allowed_length;
  quern_optional_int dry_range;
  const quern_string* dry_sequence_breakers;
  size_t num_dry_sequence_breakers;
  const quern_logit_bias* logit_bias;
  size_t num_logit_bias;
  quern_optional_uint64 seed; /**< same seed, same text; unset: a random one, see quern_result */
  quern_optional_float mirostat_tau; /**< mirostat v2's surprise in bits; 0: off */
  quern_optional_float mirostat_eta;
} quern_sampling_params;

/** When a beam search ends, as transformers' early_stopping. */
typedef int32_t quern_early_stopping;
enum {
  QUERN_EARLY_STOPPING_OFF =
      0,                       /**< once no running beam is likely to beat the worst finished one */
  QUERN_EARLY_STOPPING_ON = 1, /**< as soon as num_beams beams have finished */
  QUERN_EARLY_STOPPING_NEVER = 2 /**< once none can beat it at any length */
};

/** A sequence of token ids. */
typedef struct quern_token_ids {
  const int32_t* ids;
  size_t count;
} quern_token_ids;

/** A prompt and its generation parameters. The prompt is prompt_ids unless they are empty, else
    prompt. */
typedef struct quern_request {
  size_t struct_size; /**< sizeof(quern_request) */
  quern_string prompt;
  quern_token_ids prompt_ids; /**< used as given: no BOS is added */
  quern_choice parse_special; /**< special tokens in `prompt` become their ids; default: on */
  quern_choice add_bos;       /**< default: as the tokenizer's files say */
  const quern_sampling_params* sampling; /**< NULL: all unset */
  int32_t num_beams;                     /**< 0 and 1: no beam search; at most max_seqs */
  quern_early_stopping early_stopping;
  quern_optional_float length_penalty;  /**< of beam search; unset: 1 */
  int32_t num_return_sequences;         /**< answers; 0 is 1 */
  int32_t max_new_tokens;               /**< 0: generation_config's, else 128 */
  quern_optional_int min_new_tokens;    /**< unset: generation_config's */
  quern_token_ids stop_token_ids;       /**< end the text, besides the model's EOS tokens */
  const quern_token_ids* bad_words_ids; /**< sequences that may not appear */
  size_t num_bad_words_ids;
  const quern_string* stop; /**< the text ends before the first of these */
  size_t num_stop;
  int32_t ignore_eos;                 /**< 1: do not stop at EOS tokens */
  int32_t keep_special;               /**< 1: keep special tokens in the text */
  quern_optional_int top_logprobs;    /**< log-probabilities, and so many best ones; unset: none */
  quern_optional_int prompt_logprobs; /**< the same for the prompt's tokens; unset: none */
} quern_request;

typedef int32_t quern_finish_reason;
enum {
  QUERN_NOT_FINISHED = 0,
  QUERN_FINISH_STOP = 1,        /**< an EOS token or one of stop_token_ids */
  QUERN_FINISH_STOP_STRING = 2, /**< one of stop */
  QUERN_FINISH_LENGTH = 3,      /**< max_new_tokens */
  QUERN_FINISH_CONTEXT = 4,     /**< the model's or the engine's max_seq_len */
  QUERN_FINISH_CANCELLED = 5,
  QUERN_FINISH_ERROR = 6 /**< see quern_result.error */
};

/** "stop", "stop_string", …; "not_finished"; "unknown" for another number. */
QUERN_C_API const char* quern_finish_reason_name(quern_finish_reason reason);

/** Natural logarithm of the softmax of the raw logits, before any sampling parameter. */
typedef struct quern_token_logprob {
  int32_t id;
  float logprob;
} quern_token_logprob;

typedef struct quern_token_logprobs {
  int32_t id; /**< the chosen token */
  float logprob;
  const quern_token_logprob* top; /**< best first */
  size_t num_top;
} quern_token_logprobs;

typedef struct quern_logprobs {
  const quern_token_logprobs* tokens;
  size_t count;
} quern_logprobs;

/** New output of one request after a step. The library may add fields at the end. */
typedef struct quern_update {
  uint64_t id;
  int32_t sequence;                  /**< the answer: 0 … num_return_sequences - 1 */
  quern_finish_reason finish_reason; /**< set on the last update of an answer */
  int32_t last;                      /**< 1: the request's last update: all answers have ended */
  int32_t reserved;
  quern_token_ids token_ids;      /**< new output ids */
  quern_string text;              /**< new text, of whole characters */
  quern_logprobs logprobs;        /**< one for each of token_ids, if asked for */
  quern_logprobs prompt_logprobs; /**< all of them, in the first update */
  quern_string error;             /**< one line with QUERN_FINISH_ERROR, else empty */
} quern_update;

/** Updates in an array whose elements lie `stride` bytes apart: see quern_updates_at(). */
typedef struct quern_updates {
  const void* first;
  size_t count;
  size_t stride;
} quern_updates;

static inline const quern_update* quern_updates_at(const quern_updates* updates, size_t index) {
  return (const quern_update*)((const char*)updates->first + index * updates->stride);
}

/** One answer to a request. The library may add fields at the end. */
typedef struct quern_sequence_result {
  quern_token_ids output_ids; /**< ends with the EOS token when one was sampled */
  quern_string text; /**< without EOS token, stop string and (unless kept) special tokens */
  quern_finish_reason finish_reason;
  quern_optional_float score; /**< of a beam that ended */
  quern_string error;         /**< one line with QUERN_FINISH_ERROR, else empty */
  quern_logprobs logprobs;    /**< one for each of output_ids, if asked for */
} quern_sequence_result;

/** Tokens of a request. */
typedef struct quern_usage {
  uint64_t prompt_tokens;
  uint64_t cached_prompt_tokens; /**< of these, taken from the prefix cache */
  uint64_t completion_tokens;    /**< of all answers */
} quern_usage;

/** The whole output of a request. The library may add fields at the end. */
typedef struct quern_result {
  uint64_t id;
  uint64_t seed;
  quern_usage usage;
  quern_token_ids prompt_ids;
  quern_logprobs prompt_logprobs; /**< one for each of prompt_ids but the first, if asked for */
  const quern_sequence_result* const*
      sequences; /**< the answers, at least one; beams: best first */
  size_t num_sequences;
} quern_result;

/** NULL is ignored. */
QUERN_C_API void quern_result_free(quern_result* result);

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* QUERN_C_REQUEST_H */
