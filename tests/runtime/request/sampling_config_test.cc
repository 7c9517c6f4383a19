#include "runtime/request/sampling_config.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/support/expect_error.h"

namespace quern {
namespace {

constexpr int kConfigVocab = 100;

SamplingRow resolve(const SamplingParams& params, const GenerationConfig& generation = {}) {
  Request request;
  request.sampling = params;
  request.sampling.seed = 5;
  const std::int32_t eos_token_ids[] = {2};
  return resolve_sampling(request, generation, eos_token_ids, kConfigVocab);
}

GenerationConfig sampled_config() {
  GenerationConfig generation;
  generation.do_sample = true;
  generation.temperature = 0.7f;
  generation.top_k = 20;
  generation.top_p = 0.8f;
  generation.repetition_penalty = 1.05f;
  generation.no_repeat_ngram_size = 4;
  return generation;
}

TEST(ResolveSampling, IsGreedyWithoutAnyWord) {
  const SamplingRow row = resolve({});
  EXPECT_EQ(row.temperature, 0.0f);
  EXPECT_EQ(row.repetition_penalty, 1.0f);
  EXPECT_EQ(row.num_top_logprobs, -1);
  EXPECT_EQ(row.num_eos_token_ids, 1);
}

TEST(ResolveSampling, FollowsTheGenerationConfig) {
  const SamplingRow row = resolve({}, sampled_config());
  EXPECT_EQ(row.temperature, 0.7f);
  EXPECT_EQ(row.top_k, 20);
  EXPECT_EQ(row.top_p, 0.8f);
  EXPECT_EQ(row.min_p, 0.0f);
  EXPECT_EQ(row.repetition_penalty, 1.05f);
  EXPECT_EQ(row.no_repeat_ngram_size, 4);
}

TEST(ResolveSampling, OverridesOneKeyAndKeepsTheOthers) {
  SamplingParams params;
  params.top_p = 0.5f;
  const SamplingRow row = resolve(params, sampled_config());
  EXPECT_EQ(row.top_p, 0.5f);
  EXPECT_EQ(row.temperature, 0.7f);
}

TEST(ResolveSampling, AnyFilterTurnsSamplingOnWithTheOthersOff) {
  SamplingParams params;
  params.top_k = 3;
  const SamplingRow row = resolve(params);
  EXPECT_EQ(row.temperature, 1.0f);
  EXPECT_EQ(row.top_k, 3);
  EXPECT_EQ(row.top_p, 1.0f);
}

TEST(ResolveSampling, GreedyIgnoresTheConfigButNotTheRequest) {
  for (const bool by_temperature : {false, true}) {
    SamplingParams params;
    if (by_temperature) {
      params.temperature = 0.0f;
    } else {
      params.greedy = true;
    }
    params.frequency_penalty = 0.5f;
    const SamplingRow row = resolve(params, sampled_config());
    EXPECT_EQ(row.temperature, 0.0f);
    EXPECT_EQ(row.repetition_penalty, 1.0f);
    EXPECT_EQ(row.no_repeat_ngram_size, 0);
    EXPECT_EQ(row.frequency_penalty, 0.5f);
  }
}

TEST(ResolveSampling, UnsampledConfigStaysGreedyButKeepsItsPenalty) {
  GenerationConfig generation = sampled_config();
  generation.do_sample = false;
  const SamplingRow row = resolve({}, generation);
  EXPECT_EQ(row.temperature, 0.0f);
  EXPECT_EQ(row.repetition_penalty, 1.05f);
}

TEST(ResolveSampling, KeepsFiftyWhereOnlyTheConfigTurnsSamplingOn) {
  GenerationConfig generation;
  generation.do_sample = true;
  EXPECT_EQ(resolve({}, generation).top_k, 50);
  SamplingParams params;
  params.top_p = 0.5f;
  EXPECT_EQ(resolve(params, generation).top_k, 0);
  generation.top_k = 0;
  EXPECT_EQ(resolve({}, generation).top_k, 0);
}

TEST(ResolveSampling, RarerFilters) {
  GenerationConfig generation = sampled_config();
  generation.typical_p = 0.9f;
  generation.epsilon_cutoff = 0.01f;
  generation.eta_cutoff = 0.02f;
  const SamplingRow by_config = resolve({}, generation);
  EXPECT_EQ(by_config.typical_p, 0.9f);
  EXPECT_EQ(by_config.epsilon_cutoff, 0.01f);
  EXPECT_EQ(by_config.eta_cutoff, 0.02f);
  EXPECT_EQ(by_config.top_n_sigma, 0.0f);
  EXPECT_EQ(by_config.xtc_probability, 0.0f);
  EXPECT_EQ(by_config.dry_multiplier, 0.0f);

  SamplingParams params;
  params.typical_p = 0.5f;
  params.top_n_sigma = 1.5f;
  params.xtc_probability = 0.3f;
  const SamplingRow own = resolve(params, generation);
  EXPECT_EQ(own.typical_p, 0.5f);
  EXPECT_EQ(own.epsilon_cutoff, 0.01f);
  EXPECT_EQ(own.top_n_sigma, 1.5f);
  EXPECT_EQ(own.xtc_probability, 0.3f);
  EXPECT_EQ(own.xtc_threshold, 0.1f);

  // Greedy decoding has no filters.
  SamplingParams greedy;
  greedy.greedy = true;
  EXPECT_EQ(resolve(greedy, generation).typical_p, 1.0f);
}

TEST(ResolveSampling, EachFilterTurnsSamplingOn) {
  const auto turns_on = [](auto set) {
    SamplingParams params;
    set(params);
    EXPECT_TRUE(sets_filters(params));
    EXPECT_EQ(resolve(params).temperature, 1.0f);
    params.greedy = true;
    EXPECT_QUERN_ERROR(ErrorCode::invalid_argument, ({"greedy"}), resolve(params));
  };
  turns_on([](auto& params) { params.top_k = 1; });
  turns_on([](auto& params) { params.top_p = 0.5f; });
  turns_on([](auto& params) { params.min_p = 0.5f; });
  turns_on([](auto& params) { params.top_n_sigma = 1.0f; });
  turns_on([](auto& params) { params.typical_p = 0.5f; });
  turns_on([](auto& params) { params.epsilon_cutoff = 0.5f; });
  turns_on([](auto& params) { params.eta_cutoff = 0.5f; });
  turns_on([](auto& params) { params.xtc_probability = 0.5f; });
  turns_on([](auto& params) { params.mirostat_tau = 5.0f; });
  SamplingParams params;
  params.xtc_threshold = 0.2f;
  params.dry_multiplier = 1.0f;
  EXPECT_FALSE(sets_filters(params));
  EXPECT_EQ(resolve(params).temperature, 0.0f);
}

TEST(ResolveSampling, MirostatTakesThePlaceOfFilters) {
  GenerationConfig generation = sampled_config();
  generation.typical_p = 0.9f;
  SamplingParams params;
  params.mirostat_tau = 4.0f;
  SamplingRow row = resolve(params, generation);
  EXPECT_EQ(row.mirostat_tau, 4.0f);
  EXPECT_EQ(row.mirostat_eta, 0.1f);
  EXPECT_EQ(row.top_k, 0);
  EXPECT_EQ(row.top_p, 1.0f);
  EXPECT_EQ(row.typical_p, 1.0f);
  EXPECT_EQ(row.temperature, generation.temperature.value_or(1.0f));

  params.mirostat_eta = 0.0f;
  params.top_k = 0;  // what is off contradicts nothing
  params.top_p = 1.0f;
  EXPECT_EQ(resolve(params, generation).mirostat_eta, 0.0f);
  params.min_p = 0.1f;
  EXPECT_QUERN_ERROR(ErrorCode::invalid_argument, ({"mirostat_tau 4", "min_p"}),
                     resolve(params, generation));
  params.mirostat_tau = 0.0f;
  EXPECT_EQ(resolve(params, generation).min_p, 0.1f);
  EXPECT_EQ(resolve(params, generation).mirostat_tau, 0.0f);
}

TEST(ResolveSampling, Dry) {
  SamplingParams params;
  params.greedy = true;
  params.dry_multiplier = 0.8f;
  const SamplingRow row = resolve(params);
  EXPECT_EQ(row.dry_multiplier, 0.8f);
  EXPECT_EQ(row.dry_base, 1.75f);
  EXPECT_EQ(row.dry_allowed_length, 2);
  EXPECT_EQ(row.dry_range, 0);
  params.dry_base = 1.5f;
  params.dry_allowed_length = 4;
  params.dry_range = 64;
  const SamplingRow other = resolve(params);
  EXPECT_EQ(other.dry_base, 1.5f);
  EXPECT_EQ(other.dry_allowed_length, 4);
  EXPECT_EQ(other.dry_range, 64);
}

TEST(ResolveSampling, RefusesContradictionsAndBadValues) {
  const auto refuse = [](const char* name, auto set) {
    SamplingParams params;
    set(params);
    EXPECT_QUERN_ERROR(ErrorCode::invalid_argument, ({name}), resolve(params));
  };
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (const float value : {-1.0f, kNan, kInfinity}) {
    refuse("temperature", [&](auto& params) { params.temperature = value; });
  }
  for (const float value : {0.0f, -0.1f, 1.1f, kNan}) {
    refuse("top_p", [&](auto& params) { params.top_p = value; });
  }
  for (const float value : {-0.1f, 1.1f, kNan}) {
    refuse("min_p", [&](auto& params) { params.min_p = value; });
  }
  for (const float value : {0.0f, -1.0f, kNan, kInfinity}) {
    refuse("repetition_penalty", [&](auto& params) { params.repetition_penalty = value; });
  }
  for (const float value : {-0.1f, kNan, kInfinity}) {
    refuse("top_n_sigma", [&](auto& params) { params.top_n_sigma = value; });
    refuse("mirostat_tau", [&](auto& params) { params.mirostat_tau = value; });
    refuse("mirostat_eta", [&](auto& params) { params.mirostat_eta = value; });
    refuse("dry_multiplier", [&](auto& params) { params.dry_multiplier = value; });
    refuse("dry_base", [&](auto& params) { params.dry_base = value; });
  }
  for (const float value : {0.0f, 1.1f, kNan}) {
    refuse("typical_p", [&](auto& params) { params.typical_p = value; });
  }
  for (const float value : {-0.1f, 1.0f, kNan}) {
    refuse("epsilon_cutoff", [&](auto& params) { params.epsilon_cutoff = value; });
    refuse("eta_cutoff", [&](auto& params) { params.eta_cutoff = value; });
  }
  for (const float value : {-0.1f, 1.1f, kNan}) {
    refuse("xtc_probability", [&](auto& params) { params.xtc_probability = value; });
    refuse("xtc_threshold", [&](auto& params) { params.xtc_threshold = value; });
  }
  refuse("dry_base", [](auto& params) { params.dry_base = 0.5f; });
  refuse("dry_allowed_length", [](auto& params) { params.dry_allowed_length = 0; });
  refuse("dry_range", [](auto& params) { params.dry_range = -1; });
  refuse("top_k", [](auto& params) { params.top_k = -1; });
  refuse("presence_penalty", [&](auto& params) { params.presence_penalty = kNan; });
  refuse("frequency_penalty", [&](auto& params) { params.frequency_penalty = kInfinity; });
  refuse("no_repeat_ngram_size", [](auto& params) { params.no_repeat_ngram_size = -2; });
  refuse("100", [](auto& params) { params.logit_bias = {{kConfigVocab, 1.0f}}; });
  refuse("-1", [](auto& params) { params.logit_bias = {{-1, 1.0f}}; });
  refuse("twice", [](auto& params) { params.logit_bias = {{3, 1.0f}, {3, 2.0f}}; });
  refuse("at most 256", [](auto& params) { params.logit_bias.resize(257); });
  refuse("greedy", [](auto& params) {
    params.greedy = true;
    params.top_k = 5;
  });
}

TEST(RandomSeed, DiffersFromCallToCallAndFitsADouble) {
  EXPECT_NE(random_seed(), random_seed());
  for (int i = 0; i < 100; ++i) EXPECT_LT(random_seed(), std::uint64_t{1} << 53);
}

}  // namespace
}  // namespace quern
