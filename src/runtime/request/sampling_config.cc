#include "runtime/request/sampling_config.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "base/check.h"

namespace quern {
namespace {

constexpr int kDefaultTopK = 50;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

template <typename T>
void require(bool valid, const char* name, T value, const char* expected) {
  if (!valid) fail(ErrorCode::invalid_argument, "{} {}: expected {}", name, value, expected);
}

void check_ranges(const SamplingParams& params) {
  if (const auto& value = params.temperature) {
    require(*value >= 0 && *value < kInfinity, "temperature", *value, "a finite number >= 0");
  }
  if (const auto& value = params.top_k) require(*value >= 0, "top_k", *value, "an integer >= 0");
  if (const auto& value = params.top_p) {
    require(*value > 0 && *value <= 1, "top_p", *value, "a number in (0, 1]");
  }
  if (const auto& value = params.min_p) {
    require(*value >= 0 && *value <= 1, "min_p", *value, "a number in [0, 1]");
  }
  if (const auto& value = params.repetition_penalty) {
    require(*value > 0 && *value < kInfinity, "repetition_penalty", *value, "a finite number > 0");
  }
  if (const auto& value = params.presence_penalty) {
    require(std::isfinite(*value), "presence_penalty", *value, "a finite number");
  }
  if (const auto& value = params.frequency_penalty) {
    require(std::isfinite(*value), "frequency_penalty", *value, "a finite number");
  }
  if (const auto& value = params.no_repeat_ngram_size) {
    require(*value >= 0, "no_repeat_ngram_size", *value, "an integer >= 0");
  }
}

void check_more_filters(const SamplingParams& params) {
  if (const auto& value = params.top_n_sigma) {
    require(*value >= 0 && *value < kInfinity, "top_n_sigma", *value, "a finite number >= 0");
  }
  if (const auto& value = params.typical_p) {
    require(*value > 0 && *value <= 1, "typical_p", *value, "a number in (0, 1]");
  }
  if (const auto& value = params.epsilon_cutoff) {
    require(*value >= 0 && *value < 1, "epsilon_cutoff", *value, "a number in [0, 1)");
  }
  if (const auto& value = params.eta_cutoff) {
    require(*value >= 0 && *value < 1, "eta_cutoff", *value, "a number in [0, 1)");
  }
  if (const auto& value = params.xtc_probability) {
    require(*value >= 0 && *value <= 1, "xtc_probability", *value, "a number in [0, 1]");
  }
  if (const auto& value = params.xtc_threshold) {
    require(*value >= 0 && *value <= 1, "xtc_threshold", *value, "a number in [0, 1]");
  }
  if (const auto& value = params.mirostat_tau) {
    require(*value >= 0 && *value < kInfinity, "mirostat_tau", *value, "a finite number >= 0");
  }
  if (const auto& value = params.mirostat_eta) {
    require(*value >= 0 && *value < kInfinity, "mirostat_eta", *value, "a finite number >= 0");
  }
}

void check_dry(const SamplingParams& params) {
  if (const auto& value = params.dry_multiplier) {
    require(*value >= 0 && *value < kInfinity, "dry_multiplier", *value, "a finite number >= 0");
  }
  if (const auto& value = params.dry_base) {
    require(*value >= 1 && *value < kInfinity, "dry_base", *value, "a finite number >= 1");
  }
  if (const auto& value = params.dry_allowed_length) {
    require(*value >= 1, "dry_allowed_length", *value, "an integer >= 1");
  }
  if (const auto& value = params.dry_range) {
    require(*value >= 0, "dry_range", *value, "an integer >= 0");
  }
}

void resolve_filters(const SamplingParams& params, const GenerationConfig& defaults,
                     int default_top_k, SamplingRow& row) {
  row.top_k = params.top_k.value_or(defaults.top_k.value_or(default_top_k));
  row.top_p = params.top_p.value_or(defaults.top_p.value_or(1.0f));
  row.min_p = params.min_p.value_or(defaults.min_p.value_or(0.0f));
  row.top_n_sigma = params.top_n_sigma.value_or(0.0f);
  row.typical_p = params.typical_p.value_or(defaults.typical_p.value_or(1.0f));
  row.epsilon_cutoff = params.epsilon_cutoff.value_or(defaults.epsilon_cutoff.value_or(0.0f));
  row.eta_cutoff = params.eta_cutoff.value_or(defaults.eta_cutoff.value_or(0.0f));
  row.xtc_probability = params.xtc_probability.value_or(0.0f);
  row.xtc_threshold = params.xtc_threshold.value_or(row.xtc_threshold);
}

/// In place of the other filters.
void resolve_mirostat(const SamplingParams& params, SamplingRow& row) {
  resolve_filters(params, {}, 0, row);
  const bool filtered = row.top_k > 0 || row.top_p < 1.0f || row.min_p > 0.0f ||
                        row.top_n_sigma > 0.0f || row.typical_p < 1.0f ||
                        row.epsilon_cutoff > 0.0f || row.eta_cutoff > 0.0f ||
                        row.xtc_probability > 0.0f;
  if (filtered) {
    fail(ErrorCode::invalid_argument,
         "mirostat_tau {} contradicts top_k, top_p, min_p and the other filters",
         *params.mirostat_tau);
  }
  row.mirostat_tau = *params.mirostat_tau;
  row.mirostat_eta = params.mirostat_eta.value_or(row.mirostat_eta);
}

void resolve_temperature(const SamplingParams& params, const GenerationConfig& generation,
                         SamplingRow& row) {
  const bool filters = sets_filters(params);
  if (params.greedy && (params.temperature.value_or(0) > 0 || filters)) {
    fail(ErrorCode::invalid_argument,
         "greedy decoding contradicts temperature, top_k, top_p, min_p and the other filters");
  }
  const bool sampled =
      params.temperature.has_value() || filters || generation.do_sample.value_or(false);
  if (params.greedy || !sampled) return;
  row.temperature = params.temperature.value_or(generation.temperature.value_or(1.0f));
  if (params.mirostat_tau.value_or(0.0f) > 0.0f) return resolve_mirostat(params, row);
  // generate() keeps the 50 best where nothing is said and the model's file turns sampling on.
  const bool asked = params.temperature.has_value() || filters;
  const int default_top_k = asked || !generation.do_sample.value_or(false) ? 0 : kDefaultTopK;
  resolve_filters(params, generation, default_top_k, row);
}

void resolve_dry(const SamplingParams& params, SamplingRow& row) {
  row.dry_multiplier = params.dry_multiplier.value_or(0.0f);
  row.dry_base = params.dry_base.value_or(row.dry_base);
  row.dry_allowed_length = params.dry_allowed_length.value_or(row.dry_allowed_length);
  row.dry_range = params.dry_range.value_or(row.dry_range);
}

void resolve_logit_bias(const SamplingParams& params, int vocab_size, SamplingRow& row) {
  if (params.logit_bias.size() > kMaxLogitBias) {
    fail(ErrorCode::invalid_argument, "logit_bias: {} entries, expected at most {}",
         params.logit_bias.size(), kMaxLogitBias);
  }
  for (const auto& [id, value] : params.logit_bias) {
    if (id < 0 || id >= vocab_size) {
      fail(ErrorCode::invalid_argument, "logit_bias: token id {}, expected 0 to {}", id,
           vocab_size - 1);
    }
    require(std::isfinite(value), "logit_bias", value, "a finite number");
    const std::span<const std::int32_t> earlier(row.bias_ids, row.num_logit_bias);
    if (std::find(earlier.begin(), earlier.end(), id) != earlier.end()) {
      fail(ErrorCode::invalid_argument, "logit_bias: token id {} is given twice", id);
    }
    row.bias_ids[row.num_logit_bias] = id;
    row.bias_values[row.num_logit_bias++] = value;
  }
}

}  // namespace

void require_top_logprobs(const char* name, int value) {
  const std::string expected = fmt::format("an integer from 0 to {}", kMaxTopLogprobs);
  require(value >= 0 && value <= kMaxTopLogprobs, name, value, expected.c_str());
}

SamplingRow resolve_sampling(const Request& request, const GenerationConfig& generation,
                             std::span<const std::int32_t> eos_token_ids, int vocab_size) {
  const SamplingParams& params = request.sampling;
  check_ranges(params);
  check_more_filters(params);
  check_dry(params);
  SamplingRow row;
  row.seed = params.seed.value();
  resolve_temperature(params, generation, row);

  // Greedy means the raw argmax of the model: only the request's own penalties apply.
  const bool plain = params.greedy || params.temperature == 0.0f;
  const GenerationConfig defaults = plain ? GenerationConfig{} : generation;
  row.repetition_penalty =
      params.repetition_penalty.value_or(defaults.repetition_penalty.value_or(1.0f));
  row.no_repeat_ngram_size =
      params.no_repeat_ngram_size.value_or(defaults.no_repeat_ngram_size.value_or(0));
  row.presence_penalty = params.presence_penalty.value_or(0.0f);
  row.frequency_penalty = params.frequency_penalty.value_or(0.0f);
  resolve_dry(params, row);
  resolve_logit_bias(params, vocab_size, row);

  if (const auto& top = request.top_logprobs) {
    require_top_logprobs("top_logprobs", *top);
    row.num_top_logprobs = std::min(*top, vocab_size);
  }
  const auto on_device =
      eos_token_ids.first(std::min<std::size_t>(eos_token_ids.size(), kMaxEosTokenIds));
  row.num_eos_token_ids = static_cast<std::int32_t>(on_device.size());
  std::copy(on_device.begin(), on_device.end(), row.eos_token_ids);
  return row;
}

bool sets_filters(const SamplingParams& params) {
  return params.top_k || params.top_p || params.min_p || params.top_n_sigma || params.typical_p ||
         params.epsilon_cutoff || params.eta_cutoff || params.xtc_probability ||
         params.mirostat_tau;
}

std::uint64_t random_seed() {
  constexpr std::uint64_t kLargest = (std::uint64_t{1} << 53) - 1;
  std::random_device device;
  return std::uniform_int_distribution<std::uint64_t>(0, kLargest)(device);
}

}  // namespace quern
