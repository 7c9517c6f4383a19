#include "bindings/c/requests.h"

#include "bindings/c/failure.h"
#include "bindings/c/structs.h"
#include "bindings/c/values.h"

namespace quern::c {
namespace {

/// The elements of an array of C. Errors: invalid_argument for NULL with a count.
template <class T>
std::span<const T> elements(const T* first, std::size_t count, const char* name) {
  if (count == 0) return {};
  require(first, name);
  return {first, count};
}

std::vector<std::string> read_texts(const quern_string* first, std::size_t count,
                                    const char* name) {
  std::vector<std::string> texts;
  for (const quern_string& text : elements(first, count, name)) {
    if (text.size > 0) require(text.data, name);
    texts.emplace_back(text_of(text));
  }
  return texts;
}

SamplingParams read_sampling(const quern_sampling_params& given_struct) {
  const auto given = read_struct(given_struct, "quern_sampling_params");
  SamplingParams params;
  params.greedy = given.greedy != 0;
  params.temperature = value_of(given.temperature);
  params.top_k = value_of(given.top_k);
  params.top_p = value_of(given.top_p);
  params.min_p = value_of(given.min_p);
  params.top_n_sigma = value_of(given.top_n_sigma);
  params.typical_p = value_of(given.typical_p);
  params.epsilon_cutoff = value_of(given.epsilon_cutoff);
  params.eta_cutoff = value_of(given.eta_cutoff);
  params.xtc_probability = value_of(given.xtc_probability);
  params.xtc_threshold = value_of(given.xtc_threshold);
  params.mirostat_tau = value_of(given.mirostat_tau);
  params.mirostat_eta = value_of(given.mirostat_eta);
  params.repetition_penalty = value_of(given.repetition_penalty);
  params.presence_penalty = value_of(given.presence_penalty);
  params.frequency_penalty = value_of(given.frequency_penalty);
  params.no_repeat_ngram_size = value_of(given.no_repeat_ngram_size);
  params.dry_multiplier = value_of(given.dry_multiplier);
  params.dry_base = value_of(given.dry_base);
  params.dry_allowed_length = value_of(given.dry_allowed_length);
  params.dry_range = value_of(given.dry_range);
  const auto breakers = choice_of(given.dry_breakers_choice, "dry_breakers_choice");
  if (breakers.value_or(given.num_dry_sequence_breakers > 0)) {
    params.dry_sequence_breakers = read_texts(
        given.dry_sequence_breakers, given.num_dry_sequence_breakers, "dry_sequence_breakers");
  }
  for (const quern_logit_bias& bias :
       elements(given.logit_bias, given.num_logit_bias, "logit_bias")) {
    params.logit_bias.emplace_back(bias.id, bias.bias);
  }
  if (given.seed.is_set != 0) params.seed = given.seed.value;
  return params;
}

std::vector<std::int32_t> read_ids(quern_token_ids ids, const char* name) {
  const auto all = elements(ids.ids, ids.count, name);
  return {all.begin(), all.end()};
}

}  // namespace

Request read_request(const quern_request& given_struct) {
  const auto given = read_struct(given_struct, "quern_request");
  Request request;
  if (given.prompt.size > 0) require(given.prompt.data, "prompt");
  request.prompt = text_of(given.prompt);
  request.prompt_ids = read_ids(given.prompt_ids, "prompt_ids");
  request.parse_special = choice_of(given.parse_special, "parse_special").value_or(true);
  request.add_bos = choice_of(given.add_bos, "add_bos");
  if (given.sampling != nullptr) request.sampling = read_sampling(*given.sampling);
  request.beam_search.num_beams = or_default(given.num_beams, 1);
  check_enum(given.early_stopping, QUERN_EARLY_STOPPING_NEVER, "early_stopping");
  request.beam_search.early_stopping = static_cast<EarlyStopping>(given.early_stopping);
  request.beam_search.length_penalty = value_of(given.length_penalty).value_or(1.0f);
  request.num_return_sequences = or_default(given.num_return_sequences, 1);
  if (given.max_new_tokens != 0) request.max_new_tokens = given.max_new_tokens;
  request.min_new_tokens = value_of(given.min_new_tokens);
  request.stop_token_ids = read_ids(given.stop_token_ids, "stop_token_ids");
  for (const quern_token_ids& ids :
       elements(given.bad_words_ids, given.num_bad_words_ids, "bad_words_ids")) {
    request.bad_words_ids.push_back(read_ids(ids, "bad_words_ids"));
  }
  request.stop = read_texts(given.stop, given.num_stop, "stop");
  request.ignore_eos = given.ignore_eos != 0;
  request.keep_special = given.keep_special != 0;
  request.top_logprobs = value_of(given.top_logprobs);
  request.prompt_logprobs = value_of(given.prompt_logprobs);
  return request;
}

EngineOptions read_engine_options(const quern_engine_options* given_struct) {
  EngineOptions options;
  if (given_struct == nullptr) return options;
  const auto given = read_struct(*given_struct, "quern_engine_options");
  check_enum(given.device, QUERN_DEVICE_CUDA, "device");
  options.device = static_cast<DeviceChoice>(given.device);
  options.device_index = value_of(given.device_index);
  options.dtype = dtype_of(given.dtype, "dtype");
  options.quantize = dtype_of(given.quantize, "quantize");
  check_enum(given.quantize_activations, QUERN_ACTIVATIONS_TOKEN, "quantize_activations");
  options.quantize_activations = static_cast<ActivationQuantization>(given.quantize_activations);
  options.threads = given.threads;
  options.max_seqs = or_default(given.max_seqs, options.max_seqs);
  options.max_seq_len = given.max_seq_len;
  options.max_tokens_per_step = or_default(given.max_tokens_per_step, options.max_tokens_per_step);
  options.max_mixed_tokens = given.max_mixed_tokens;
  if (given.kv_cache_memory_bytes != 0) options.kv_cache_memory_bytes = given.kv_cache_memory_bytes;
  check_enum(given.kv_reservation, QUERN_KV_GROW, "kv_reservation");
  if (given.kv_reservation != QUERN_KV_RESERVATION_DEFAULT) {
    options.kv_reservation = static_cast<KvReservation>(given.kv_reservation - 1);
  }
  check_enum(given.kv_cache_dtype, QUERN_KV_K16V8, "kv_cache_dtype");
  options.kv_cache_dtype = static_cast<KvCacheDType>(given.kv_cache_dtype);
  options.prefix_cache = choice_of(given.prefix_cache, "prefix_cache").value_or(true);
  options.deterministic = choice_of(given.deterministic, "deterministic").value_or(false);
  options.skip_steps = given.skip_steps;
  options.check_interval = or_default(given.check_interval, options.check_interval);
  check_enum(given.device_loop, QUERN_DEVICE_LOOP_REQUIRE, "device_loop");
  options.device_loop = static_cast<DeviceLoopChoice>(given.device_loop);
  if (given.on_load != nullptr) {
    options.on_load = [on_load = given.on_load,
                       user_data = given.on_load_user_data](const LoadProgress& progress) {
      if (on_load(user_data, progress.done_bytes, progress.total_bytes) != 0) throw Stopped();
    };
  }
  return options;
}

quern_engine_options engine_options_to_c(const EngineOptions& options) {
  quern_engine_options out{};
  out.device = static_cast<quern_device>(options.device);
  if (options.device_index) out.device_index = {1, *options.device_index};
  out.dtype = dtype_to_c(options.dtype);
  out.quantize = dtype_to_c(options.quantize);
  out.quantize_activations =
      static_cast<quern_activation_quantization>(options.quantize_activations);
  out.threads = options.threads;
  out.max_seqs = options.max_seqs;
  out.max_seq_len = options.max_seq_len;
  out.max_tokens_per_step = options.max_tokens_per_step;
  out.max_mixed_tokens = options.max_mixed_tokens;
  out.kv_cache_memory_bytes = options.kv_cache_memory_bytes.value_or(0);
  if (options.kv_reservation) {
    out.kv_reservation = static_cast<quern_kv_reservation>(*options.kv_reservation) + 1;
  }
  out.kv_cache_dtype = static_cast<quern_kv_cache_dtype>(options.kv_cache_dtype);
  out.prefix_cache = options.prefix_cache ? QUERN_ON : QUERN_OFF;
  out.deterministic = options.deterministic ? QUERN_ON : QUERN_OFF;
  out.skip_steps = options.skip_steps;
  out.check_interval = options.check_interval;
  out.device_loop = static_cast<quern_device_loop>(options.device_loop);
  return out;
}

static_assert(static_cast<int>(DeviceChoice::cuda) == QUERN_DEVICE_CUDA &&
              static_cast<int>(DeviceChoice::cpu) == QUERN_DEVICE_CPU &&
              static_cast<int>(EarlyStopping::on) == QUERN_EARLY_STOPPING_ON &&
              static_cast<int>(EarlyStopping::never) == QUERN_EARLY_STOPPING_NEVER &&
              static_cast<int>(ActivationQuantization::checkpoint) ==
                  QUERN_ACTIVATIONS_CHECKPOINT &&
              static_cast<int>(ActivationQuantization::int8) == QUERN_ACTIVATIONS_INT8 &&
              static_cast<int>(ActivationQuantization::token) == QUERN_ACTIVATIONS_TOKEN &&
              static_cast<int>(KvReservation::full) + 1 == QUERN_KV_FULL &&
              static_cast<int>(KvReservation::grow) + 1 == QUERN_KV_GROW &&
              static_cast<int>(DeviceLoopChoice::off) == QUERN_DEVICE_LOOP_OFF &&
              static_cast<int>(DeviceLoopChoice::require) == QUERN_DEVICE_LOOP_REQUIRE);

}  // namespace quern::c
