#include "runtime/request/request_check.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/text/utf8.h"
#include "graph/rope.h"
#include "runtime/request/dry_breakers.h"
#include "runtime/request/generation_rules.h"
#include "runtime/request/sampling_config.h"

namespace quern {
namespace {

constexpr int kDefaultMaxNewTokens = 128;

int resolve_max_new_tokens(const Request& request, const GenerationConfig& generation,
                           std::size_t prompt_len) {
  auto count = request.max_new_tokens;
  if (!count) count = max_new_tokens_of(generation, static_cast<int>(prompt_len));
  if (count.value_or(1) < 1) {
    fail(ErrorCode::invalid_argument, "max_new_tokens {}: expected at least 1", *count);
  }
  return count.value_or(kDefaultMaxNewTokens);
}

/// `max_tokens`: a longer prompt is an error, found early.
std::vector<std::int32_t> encode_prompt(const Request& request, const OpenedModel& model,
                                        std::int64_t max_tokens) {
  if (!request.prompt_ids.empty()) return request.prompt_ids;
  return model.tokenizer->encode(request.prompt,
                                 {request.parse_special, request.add_bos, max_tokens});
}

void check_stops(const Request& request) {
  for (const std::string& stop : request.stop) {
    if (stop.empty()) fail(ErrorCode::invalid_argument, "stop: a stop string is empty");
    if (const auto place = invalid_utf8_at(stop)) {
      fail(ErrorCode::invalid_argument, "stop: not valid UTF-8 at byte {}", *place);
    }
  }
}

void check_token_id(const char* name, std::int32_t id, int vocab_size) {
  if (id >= 0 && id < vocab_size) return;
  fail(ErrorCode::invalid_argument, "{}: token id {}, expected 0 to {}", name, id, vocab_size - 1);
}

void check_token_rules(const Request& request, int vocab_size) {
  for (const std::int32_t id : request.stop_token_ids) {
    check_token_id("stop_token_ids", id, vocab_size);
  }
  for (const std::vector<std::int32_t>& word : request.bad_words_ids) {
    if (word.empty()) fail(ErrorCode::invalid_argument, "bad_words_ids: one of them is empty");
    for (const std::int32_t id : word) check_token_id("bad_words_ids", id, vocab_size);
  }
  if (request.min_new_tokens.value_or(0) < 0) {
    fail(ErrorCode::invalid_argument, "min_new_tokens {}: expected at least 0",
         *request.min_new_tokens);
  }
}

/// The model's rules with the request's own.
GenerationConfig with_rules_of(const Request& request, const OpenedModel& model) {
  GenerationConfig rules = model.generation;
  rules.bad_words_ids.insert(rules.bad_words_ids.end(), request.bad_words_ids.begin(),
                             request.bad_words_ids.end());
  if (request.min_new_tokens) rules.min_new_tokens = request.min_new_tokens;
  return rules;
}

}  // namespace

void check_prompt_ids(std::span<const std::int32_t> ids, int vocab_size, int max_seq_len) {
  if (ids.empty())
    fail(ErrorCode::invalid_argument, "the prompt is empty: expected at least one token");
  if (std::ssize(ids) > max_seq_len) {
    fail(ErrorCode::invalid_argument, "the prompt has {} tokens, expected at most {}", ids.size(),
         max_seq_len);
  }
  const auto bad = std::find_if(ids.begin(), ids.end(),
                                [&](std::int32_t id) { return id < 0 || id >= vocab_size; });
  if (bad != ids.end()) {
    fail(ErrorCode::invalid_argument,
         "token id {} at index {} of the prompt: the model's vocabulary has ids 0 to {}", *bad,
         bad - ids.begin(), vocab_size - 1);
  }
}

Request resolve_request(const Request& request, const OpenedModel& model, int max_seq_len) {
  Request seeded = request;
  seeded.sampling.seed = request.sampling.seed.value_or(0);
  const SamplingRow row = resolve_sampling(seeded, model.generation, {}, model.config.vocab_size);
  Request resolved = request;
  SamplingParams& sampling = resolved.sampling;
  sampling.greedy = false;  // temperature 0 is greedy too, and may be combined with filters
  sampling.temperature = row.temperature;
  sampling.top_k = row.top_k;
  sampling.top_p = row.top_p;
  sampling.min_p = row.min_p;
  sampling.repetition_penalty = row.repetition_penalty;
  sampling.presence_penalty = row.presence_penalty;
  sampling.frequency_penalty = row.frequency_penalty;
  sampling.no_repeat_ngram_size = row.no_repeat_ngram_size;
  sampling.top_n_sigma = row.top_n_sigma;
  sampling.typical_p = row.typical_p;
  sampling.epsilon_cutoff = row.epsilon_cutoff;
  sampling.eta_cutoff = row.eta_cutoff;
  sampling.xtc_probability = row.xtc_probability;
  sampling.xtc_threshold = row.xtc_threshold;
  sampling.mirostat_tau = row.mirostat_tau;
  sampling.mirostat_eta = row.mirostat_eta;
  sampling.dry_multiplier = row.dry_multiplier;
  sampling.dry_base = row.dry_base;
  sampling.dry_allowed_length = row.dry_allowed_length;
  sampling.dry_range = row.dry_range;
  sampling.dry_sequence_breakers = dry_sequence_breakers(request.sampling);
  // Only max_length makes it depend on the prompt.
  const bool by_length = !request.max_new_tokens && model.generation.max_length;
  resolved.max_new_tokens = resolve_max_new_tokens(
      request, model.generation, by_length ? encode_prompt(request, model, max_seq_len).size() : 0);
  return resolved;
}

float initial_rope_alpha(const OpenedModel& model, const Sequence& sequence) {
  const auto& rope = model.config.rope;
  return rope ? static_cast<float>(rope_alpha(*rope, sequence.prompt_len())) : 1.0f;
}

PrefixUse prefix_use(const OpenedModel& model, const Sequence& sequence,
                     const KvFormat& kv_format) {
  PrefixUse use;
  use.identity.rope_alpha = initial_rope_alpha(model, sequence);
  use.identity.kv_format = kv_format;
  const auto& rope = model.config.rope;
  if (!rope || !alpha_follows_length(rope->type)) return use;
  const std::int64_t longest = std::int64_t{sequence.prompt_len()} + sequence.max_tokens;
  if (static_cast<float>(rope_alpha(*rope, longest)) > use.identity.rope_alpha) {
    use.max_tokens = std::max(sequence.prompt_len(), rope->original_max_position);
  }
  return use;
}

std::vector<std::int32_t> eos_token_ids_of(const Request& request, const OpenedModel& model) {
  std::vector<std::int32_t> ids;
  if (!request.ignore_eos) {
    for (const auto& [eos_id, source] : model.eos_token_ids) ids.push_back(eos_id);
  }
  for (const std::int32_t id : request.stop_token_ids) {
    if (std::ranges::find(ids, id) == ids.end()) ids.push_back(id);
  }
  return ids;
}

std::unique_ptr<Sequence> make_sequence(RequestId id, const Request& request,
                                        const OpenedModel& model, int max_seq_len) {
  std::vector<std::int32_t> prompt_ids = encode_prompt(request, model, max_seq_len);
  check_prompt_ids(prompt_ids, model.config.vocab_size, max_seq_len);
  check_stops(request);
  check_token_rules(request, model.config.vocab_size);

  Request seeded = request;
  if (!seeded.sampling.seed) seeded.sampling.seed = random_seed();
  const std::vector<std::int32_t> eos_token_ids = eos_token_ids_of(request, model);
  SamplingRow sampling =
      resolve_sampling(seeded, model.generation, eos_token_ids, model.config.vocab_size);
  if (!model.random) add_dry_breakers(request.sampling, *model.tokenizer, sampling);
  add_generation_rules(with_rules_of(request, model), static_cast<int>(prompt_ids.size()),
                       eos_token_ids, model.config.vocab_size, sampling);

  const int wanted = resolve_max_new_tokens(request, model.generation, prompt_ids.size());
  if (request.min_new_tokens.value_or(0) > wanted) {
    fail(ErrorCode::invalid_argument, "min_new_tokens {}: expected at most max_new_tokens, {}",
         *request.min_new_tokens, wanted);
  }
  // The last token need not fit: it is sampled and never fed back.
  const int room = max_seq_len - static_cast<int>(prompt_ids.size()) + 1;
  const int max_tokens = std::min(wanted, room);

  Result result;
  result.id = id;
  result.prompt_ids = prompt_ids;
  result.seed = sampling.seed;
  Request with_stops = request;
  with_stops.stop.insert(with_stops.stop.end(), model.generation.stop_strings.begin(),
                         model.generation.stop_strings.end());
  SequenceOutput output(*model.tokenizer, with_stops, std::move(result), eos_token_ids, max_tokens,
                        wanted <= room ? FinishReason::length : FinishReason::context);
  auto sequence = std::make_unique<Sequence>(id, std::move(prompt_ids), sampling, max_tokens,
                                             std::move(output));
  if (request.prompt_logprobs) {
    require_top_logprobs("prompt_logprobs", *request.prompt_logprobs);
    sequence->num_prompt_logprobs = std::min(*request.prompt_logprobs, model.config.vocab_size);
  }
  return sequence;
}

}  // namespace quern
