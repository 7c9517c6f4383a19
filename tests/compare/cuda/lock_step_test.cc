#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <tuple>

#include "backend/cuda/driver/device_query.h"
#include "base/philox.h"
#include "quern/compare.h"
#include "tests/support/test_files.h"

namespace quern {
namespace {

struct Subject {
  std::string name;
  ModelSource source;
  int vocab_size;
};

/// The demo models, and the first layers of real ones with outlier channels.
std::vector<Subject> subjects() {
  std::vector<Subject> all;
  for (const char* name : {"tale-gpt2", "tale-llama", "tale-qwen", "tale-qwen2"}) {
    all.push_back({name, testing::demo_model(name).string(), 2048});
  }
  for (const char* shape :
       {"gpt2_medium", "llama_7b", "llama3_8b", "qwen_7b_chat", "qwen2.5_7b", "qwen3_0.6b"}) {
    all.push_back({shape, RandomModel{.shape = shape, .num_layers = 4, .outliers = true}, 32000});
  }
  return all;
}

Request random_prompt(int num_tokens, int vocab_size) {
  Request request;
  for (int i = 0; i < num_tokens; ++i) {
    const auto word = draw_word(1, 0, static_cast<std::uint32_t>(i), 0);
    request.prompt_ids.push_back(
        static_cast<std::int32_t>(word % static_cast<std::uint32_t>(vocab_size)));
  }
  return request;
}

class LockStepOnGpu : public ::testing::TestWithParam<std::tuple<Subject, DType>> {
 protected:
  void SetUp() override {
    const std::string reason = query_cuda().unavailable_reason;
    if (!reason.empty()) GTEST_SKIP() << reason;
  }

  static Comparison compare_prompts(const std::vector<Request>& prompts,
                                    KvCacheDType kv_cache_dtype = KvCacheDType::automatic) {
    CompareOptions options;
    options.tested.kv_cache_dtype = kv_cache_dtype;
    options.tested.device = DeviceChoice::cuda;
    options.tested.dtype = std::get<1>(GetParam());
    options.tested.max_tokens_per_step = 80;
    return compare(std::get<0>(GetParam()).source, prompts, options);
  }

  static void expect_within_bounds(const Comparison& comparison) {
    for (const ValueComparison& value : comparison.values) {
      EXPECT_FALSE(value.over_bound)
          << "step " << value.step << ", " << value.value << " [" << value.rows << ", "
          << value.cols << "]: NMSE " << value.nmse << " in row " << value.nmse_row
          << " of at most " << value.max_nmse.value_or(0) << ", worst [" << value.worst_row << ", "
          << value.worst_col << "] " << value.worst_tested << " for " << value.worst_reference
          << ", " << value.excess << " times its bound";
      EXPECT_EQ(value.num_nan + value.num_infinite, 0) << value.value;
    }
  }

  /// Of matrices quantized at load, with rounded inputs.
  static void expect_rounded_within_bounds(DType quantize, ActivationQuantization activations) {
    const auto& [subject, dtype] = GetParam();
    CompareOptions options;
    options.tested.device = DeviceChoice::cuda;
    options.tested.dtype = dtype;
    options.tested.max_tokens_per_step = 80;
    options.tested.quantize = quantize;
    options.tested.quantize_activations = activations;
    const std::vector<Request> prompts = {random_prompt(88, subject.vocab_size)};
    const Comparison comparison = compare(subject.source, prompts, options);
    expect_within_bounds(comparison);
    record(comparison);
  }

  /// Reports how close the values come to their limits.
  static void record(const Comparison& comparison) {
    double share = 0.0;
    double excess = 0.0;
    std::string where;
    for (const ValueComparison& value : comparison.values) {
      excess = std::max(excess, value.excess);
      if (!value.max_nmse || *value.max_nmse == 0.0 || value.nmse / *value.max_nmse <= share) {
        continue;
      }
      share = value.nmse / *value.max_nmse;
      where = value.value;
    }
    const std::string text =
        fmt::format("largest NMSE {:.3g} of its limit ({}), largest error {:.3g} of its bound",
                    share, where, excess);
    RecordProperty("margin", text);
    GTEST_LOG_(INFO) << text;
  }
};

TEST_P(LockStepOnGpu, EveryNodeIsWithinItsBounds) {
  const int vocab_size = std::get<0>(GetParam()).vocab_size;
  // Steps of 80 and of 8 rows, then of one.
  const Comparison alone = compare_prompts({random_prompt(88, vocab_size)});
  ASSERT_EQ(alone.steps.size(), 4U);
  EXPECT_EQ(alone.steps[0].num_tokens, 80);
  EXPECT_EQ(alone.steps[1].num_tokens, 8);
  EXPECT_EQ(alone.steps[3].num_decode_seqs, 1);
  expect_within_bounds(alone);
  record(alone);
}

TEST_P(LockStepOnGpu, ScaledCachesAreWithinTheirBounds) {
  const int vocab_size = std::get<0>(GetParam()).vocab_size;
  for (const KvCacheDType kv : {KvCacheDType::int8, KvCacheDType::fp8, KvCacheDType::k16v8}) {
    SCOPED_TRACE(kv_cache_dtype_name(kv));
    const Comparison alone = compare_prompts({random_prompt(88, vocab_size)}, kv);
    expect_within_bounds(alone);
    record(alone);
  }
}

std::string test_name(const ::testing::TestParamInfo<std::tuple<Subject, DType>>& test) {
  std::string name = std::get<0>(test.param).name + "_" + dtype_name(std::get<1>(test.param));
  std::replace_if(
      name.begin(), name.end(), [](char letter) { return letter == '.' || letter == '-'; }, '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Models, LockStepOnGpu,
                         ::testing::Combine(::testing::ValuesIn(subjects()),
                                            ::testing::Values(DType::float32, DType::float16,
                                                              DType::bfloat16)),
                         test_name);

// Products of integers are the same on both sides: only roundings of norms at an edge differ.
TEST_P(LockStepOnGpu, W8A8IsWithinItsBounds) {
  expect_rounded_within_bounds(DType::uint8, ActivationQuantization::token);
}

// Steps of 80 rows have products of E4M3 where there are such.
TEST_P(LockStepOnGpu, Fp8W8A8IsWithinItsBounds) {
  expect_rounded_within_bounds(DType::float8_e4m3, ActivationQuantization::checkpoint);
}

class BatchLockStepOnGpu : public LockStepOnGpu {};

TEST_P(BatchLockStepOnGpu, DecodesSeveralSequences) {
  const int vocab_size = std::get<0>(GetParam()).vocab_size;
  for (const int num_seqs : {3, 6, 70}) {
    SCOPED_TRACE(::testing::Message() << num_seqs << " sequences");
    std::vector<Request> prompts;
    for (int i = 0; i < num_seqs; ++i)
      prompts.push_back(random_prompt(1 + i % (80 / num_seqs), vocab_size));
    const Comparison batch = compare_prompts(prompts);
    EXPECT_EQ(batch.steps.back().num_decode_seqs, num_seqs);
    expect_within_bounds(batch);
    record(batch);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Models, BatchLockStepOnGpu,
    ::testing::Combine(::testing::Values(subjects().front(), subjects()[1], subjects()[2]),
                       ::testing::Values(DType::float32, DType::float16, DType::bfloat16)),
    test_name);

}  // namespace
}  // namespace quern
