// Engines whose KV cache stores 8-bit numbers: prefix cache, beams, preemption and chunked prefill
// give the same tokens as one request alone, and the answers stay close to the unscaled cache's.
#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "runtime/load/key_outliers.h"
#include "tests/runtime/cpu_engine.h"
#include "tests/runtime/golden.h"
#include "tests/support/changed_model.h"
#include "tests/support/expect_error.h"
#include "tests/support/log_capture.h"

namespace quern {
namespace {

using Ids = std::vector<std::int32_t>;

constexpr int kBlock = 32;

EngineOptions with(KvCacheDType dtype) {
  EngineOptions options;
  options.kv_cache_dtype = dtype;
  return options;
}

/// Mean KL divergence of the tested engine's next-token distributions from the reference's.
double mean_divergence(Engine& reference, Engine& tested, const Ids& ids) {
  const std::vector<float> expected = reference.logits(ids);
  const std::vector<float> logits = tested.logits(ids);
  const auto vocab_size = static_cast<std::size_t>(reference.info().vocab_size);
  const auto log_sum = [&](const float* row) {
    double sum = 0.0;
    for (std::size_t i = 0; i < vocab_size; ++i) sum += std::exp(double{row[i]});
    return std::log(sum);
  };
  double total = 0.0;
  for (std::size_t row = 0; row < ids.size(); ++row) {
    const float* p = expected.data() + row * vocab_size;
    const float* q = logits.data() + row * vocab_size;
    const double log_p = log_sum(p);
    const double log_q = log_sum(q);
    for (std::size_t i = 0; i < vocab_size; ++i) {
      total += std::exp(p[i] - log_p) * ((p[i] - log_p) - (q[i] - log_q));
    }
  }
  return total / static_cast<double>(ids.size());
}

/// Σ log p of `output` after `prompt`.
double log_probability(Engine& engine, const Ids& prompt, const Ids& output) {
  Ids ids = prompt;
  ids.insert(ids.end(), output.begin(), output.end());
  const std::vector<float> logits = engine.logits(ids);
  const auto vocab_size = static_cast<std::size_t>(engine.info().vocab_size);
  double total = 0.0;
  for (std::size_t i = prompt.size(); i < ids.size(); ++i) {
    const float* row = logits.data() + (i - 1) * vocab_size;
    double sum = 0.0;
    for (std::size_t k = 0; k < vocab_size; ++k) sum += std::exp(double{row[k]});
    total += row[ids[i]] - std::log(sum);
  }
  return total;
}

std::vector<Ids> outputs(const std::vector<Result>& results) {
  std::vector<Ids> ids;
  for (const Result& result : results) ids.push_back(result.output_ids);
  return ids;
}

Request request_of(Ids ids, int max_new_tokens) {
  Request request = greedy("", max_new_tokens);
  request.prompt_ids = std::move(ids);
  request.ignore_eos = true;
  request.top_logprobs = 3;
  return request;
}

class KvCacheDTypeTest : public ::testing::TestWithParam<std::tuple<std::string, KvCacheDType>> {
 protected:
  Engine load(EngineOptions options = {}) const {
    options.kv_cache_dtype = std::get<1>(GetParam());
    return quern::load(options, std::get<0>(GetParam()));
  }
};

TEST_P(KvCacheDTypeTest, SameTokensAloneAndInABatch) {
  EngineOptions options;
  options.max_seqs = 16;
  options.prefix_cache = false;
  Engine batched = load(options);
  Engine alone = load(options);
  for (const bool sampled : {false, true}) {
    const std::vector<Request> requests = sixteen_requests(sampled);
    const std::vector<Result> results = batched.generate(requests);
    for (std::size_t i = 0; i < requests.size(); ++i) {
      EXPECT_EQ(results[i].output_ids, alone.generate(requests[i]).output_ids) << i;
    }
  }
}

TEST_P(KvCacheDTypeTest, ChunkedPrefillGivesTheSameBits) {
  EngineOptions chunks;
  chunks.max_tokens_per_step = 24;
  const Ids ids = made_up_ids(300, 1);
  Engine in_chunks = load(chunks);
  Engine at_once = load();
  EXPECT_EQ(in_chunks.logits(ids), at_once.logits(ids));
}

TEST_P(KvCacheDTypeTest, PrefixCacheGivesTheSameBits) {
  EngineOptions uncached;
  uncached.prefix_cache = false;
  Engine cached = load();
  Engine plain = load(uncached);
  const Ids shared = made_up_ids(100, 1);
  cached.generate(request_of(shared, 20));
  Ids longer = shared;
  const Ids rest = made_up_ids(27, 3);
  longer.insert(longer.end(), rest.begin(), rest.end());
  const Result result = cached.generate(request_of(longer, 20));
  const Result expected = plain.generate(request_of(longer, 20));
  EXPECT_EQ(result.cached_prompt_tokens, 3 * kBlock);
  EXPECT_EQ(result.output_ids, expected.output_ids);
  ASSERT_EQ(result.logprobs.size(), expected.logprobs.size());
  for (std::size_t i = 0; i < result.logprobs.size(); ++i) {
    EXPECT_EQ(result.logprobs[i].logprob, expected.logprobs[i].logprob) << i;
  }
}

TEST_P(KvCacheDTypeTest, BeamsCopyScalesWithTheirBlocks) {
  EngineOptions uncached;
  uncached.prefix_cache = false;
  Request request = greedy("The king had three sons.", 40);
  request.beam_search.num_beams = 4;
  request.num_return_sequences = 4;
  Engine alone = load(uncached);
  EngineOptions batch;
  batch.max_seqs = 12;
  Engine batched = load(batch);
  std::vector<Request> requests = {greedy("Once upon a time", 30), request,
                                   greedy("The king had", 30)};
  const std::vector<Result> together = batched.generate(requests);
  const Result single = alone.generate(request);
  ASSERT_EQ(single.sequences.size(), 4u);
  ASSERT_EQ(together[1].sequences.size(), 4u);
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(together[1].sequences[i].output_ids, single.sequences[i].output_ids) << i;
    EXPECT_EQ(together[1].sequences[i].score, single.sequences[i].score) << i;
  }
  // Each beam's score from its tokens alone: stale numbers or scales would show.
  const Ids prompt = alone.tokenizer().encode(request.prompt);
  for (const auto& sequence : single.sequences) {
    const double expected = log_probability(alone, prompt, sequence.output_ids) /
                            static_cast<double>(sequence.output_ids.size());
    EXPECT_NEAR(sequence.score.value(), expected, 1e-4);
  }
}

TEST_P(KvCacheDTypeTest, PreemptionGivesTheSameTokens) {
  std::vector<Request> requests;
  for (int i = 0; i < 6; ++i) requests.push_back(request_of(made_up_ids(20 + 9 * i, i), 90));
  EngineOptions options;
  options.max_seqs = 6;
  options.max_seq_len = 256;
  options.prefix_cache = false;
  Engine roomy = load(options);
  const MemoryPlan& plan = roomy.memory_plan();
  options.kv_reservation = KvReservation::grow;
  options.kv_cache_memory_bytes =
      12 * plan.kv_cache_bytes / static_cast<std::uint64_t>(plan.num_kv_blocks);
  Engine tight = load(options);
  EXPECT_EQ(tight.memory_plan().num_kv_blocks, 12);
  EXPECT_EQ(outputs(tight.generate(requests)), outputs(roomy.generate(requests)));
}

TEST_P(KvCacheDTypeTest, AnswersStayCloseToTheExactCache) {
  const auto& [model, dtype] = GetParam();
  const Ids ids = testing::read_golden(model.substr(5))["perplexity"]["token_ids"].get<Ids>();
  Engine exact = quern::load({}, model);
  Engine tested = load();
  const double divergence = mean_divergence(exact, tested, Ids(ids.begin(), ids.begin() + 256));
  RecordProperty("mean_divergence", std::to_string(divergence));
  EXPECT_GT(divergence, 0.0) << "nothing was quantized";
  // Measured: int8 1.9e-3, 3e-4 and 2e-4; fp8 5.7e-2, 6e-3 and 4e-3; k16v8 at most 2e-4. The scores
  // of tale-gpt2 are large, and its softmax feels the eighth bit of a key.
  const bool is_gpt2 = model == "tale-gpt2";
  const double limit = dtype == KvCacheDType::k16v8  ? 1e-3
                       : dtype == KvCacheDType::int8 ? (is_gpt2 ? 4e-3 : 1e-3)
                                                     : (is_gpt2 ? 1e-1 : 1e-2);
  EXPECT_LT(divergence, limit);
}

TEST_P(KvCacheDTypeTest, PlanCountsNumbersAndScales) {
  Engine exact = quern::load({}, std::get<0>(GetParam()));
  Engine tested = load();
  const MemoryPlan& plan = tested.memory_plan();
  const ModelInfo& info = tested.info();
  const auto vectors = static_cast<std::uint64_t>(info.num_hidden_layers) *
                       info.num_key_value_heads * kBlock * plan.num_kv_blocks;
  const bool scaled_keys = std::get<1>(GetParam()) != KvCacheDType::k16v8;
  EXPECT_EQ(plan.kv_scale_bytes, vectors * sizeof(float) * (scaled_keys ? 2 : 1));
  EXPECT_EQ(plan.kv_cache_bytes - plan.kv_scale_bytes,
            vectors * info.head_dim * (scaled_keys ? 2 : 5));
  EXPECT_EQ(exact.memory_plan().kv_scale_bytes, 0u);
  EXPECT_EQ(exact.memory_plan().kv_cache_bytes, vectors * info.head_dim * 8);
}

INSTANTIATE_TEST_SUITE_P(Models, KvCacheDTypeTest,
                         ::testing::Combine(::testing::Values("tale-gpt2", "tale-llama",
                                                              "tale-qwen2"),
                                            ::testing::Values(KvCacheDType::int8, KvCacheDType::fp8,
                                                              KvCacheDType::k16v8)),
                         [](const auto& instance) {
                           return std::get<0>(instance.param).substr(5) + "_" +
                                  kv_cache_dtype_name(std::get<1>(instance.param));
                         });

TEST(KvCacheDType, UnknownNumbersAreRefused) {
  EXPECT_QUERN_ERROR(ErrorCode::invalid_argument, ({"kv_cache_dtype", "9"}),
                     load(with(static_cast<KvCacheDType>(9))));
}

TEST(KvCacheDType, ErrorsOfOutliersAreThoseOfTheSmallerHalf) {
  std::vector<float> normal(128);
  std::mt19937 engine(5);
  for (float& x : normal) x = std::normal_distribution<float>()(engine);
  EXPECT_NEAR(smaller_half_error(DType::uint8, normal), 0.02, 0.01);
  EXPECT_NEAR(smaller_half_error(DType::float8_e4m3, normal), 0.025, 0.01);
  normal[3] = 100.0f;  // a step of 0.79: half of the elements round to 0
  EXPECT_GT(smaller_half_error(DType::uint8, normal), 0.4);
  EXPECT_NEAR(smaller_half_error(DType::float8_e4m3, normal), 0.025, 0.01)
      << "float8 has exponents";
  EXPECT_EQ(smaller_half_error(DType::uint8, std::vector<float>(8)), 0.0);
}

TEST(KvCacheDType, KeysWithOutliersAreWarnedOf) {
  constexpr std::uint16_t kHundred = 0x5640;
  testing::ChangedModel model("tale-qwen2");
  model.fill("model.layers.2.self_attn.k_proj.bias", 64 + 5, 1, kHundred);
  const auto log_of = [](const std::string& folder, KvCacheDType dtype) {
    const testing::LogCapture log;
    EngineOptions options = with(dtype);
    options.device = DeviceChoice::cpu;
    Engine::load(folder, options);
    return log.text();
  };
  const auto warns = [&](const std::string& folder, KvCacheDType dtype) {
    return log_of(folder, dtype).find("outliers") != std::string::npos;
  };
  const std::string warning = log_of(model.folder(), KvCacheDType::int8);
  EXPECT_NE(warning.find("layer 2, kv head 1"), std::string::npos) << warning;
  EXPECT_NE(warning.find(" %"), std::string::npos) << warning;
  EXPECT_FALSE(warns(model.folder(), KvCacheDType::k16v8));
  EXPECT_FALSE(warns(model.folder(), KvCacheDType::automatic));
  const std::string plain = testing::demo_model("tale-qwen2").string();
  EXPECT_FALSE(warns(plain, KvCacheDType::int8));
  EXPECT_FALSE(warns(plain, KvCacheDType::fp8));
}

TEST(KvCacheDType, SixteenBitActivationsWork) {
  EngineOptions options = with(KvCacheDType::int8);
  options.dtype = DType::float16;
  Engine engine = load(options);
  options.kv_cache_dtype = KvCacheDType::automatic;
  Engine exact = load(options);
  EXPECT_LT(mean_divergence(exact, engine, made_up_ids(64, 2)), 5e-3);
  // 12 in place of 16 bits, and a scale for each vector.
  options.kv_cache_dtype = KvCacheDType::k16v8;
  const auto bytes = inspect(testing::demo_model("tale-llama").string(), options).memory_plan;
  EXPECT_EQ(bytes.kv_cache_bytes - bytes.kv_scale_bytes,
            exact.memory_plan().kv_cache_bytes / 4 * 3);
}

}  // namespace
}  // namespace quern
