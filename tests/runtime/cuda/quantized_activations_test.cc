// Inputs of quantized matrices rounded on a GPU, by the CPU's rule.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "tests/runtime/cuda/gpu_engine.h"
#include "tests/runtime/golden.h"
#include "tests/support/expect_error.h"
#include "tests/support/quantized_folders.h"

namespace quern {
namespace {

EngineOptions options_of(DeviceChoice device, DType dtype, ActivationQuantization activations) {
  EngineOptions options;
  options.device = device;
  options.dtype = dtype;
  options.max_seqs = 2;
  options.quantize_activations = activations;
  return options;
}

/// The length of a difference relative to that of `expected`.
double relative_difference(std::span<const float> actual, std::span<const float> expected) {
  double error = 0;
  double size = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    error += std::pow(double{actual[i]} - expected[i], 2);
    size += std::pow(double{expected[i]}, 2);
  }
  return std::sqrt(error / size);
}

/// exp of the mean negative log-probability of each id after the first.
double perplexity(Engine& engine, std::span<const std::int32_t> ids) {
  const std::vector<float> logits = engine.logits(ids);
  const auto vocab_size = static_cast<std::size_t>(engine.info().vocab_size);
  double total = 0;
  for (std::size_t i = 0; i + 1 < ids.size(); ++i) {
    const auto row = std::span(logits).subspan(i * vocab_size, vocab_size);
    double sum = 0;
    for (const float logit : row) sum += std::exp(double{logit});
    total += std::log(sum) - row[static_cast<std::size_t>(ids[i + 1])];
  }
  return std::exp(total / static_cast<double>(ids.size() - 1));
}

struct GoldenFolder {
  const char* name;
  const char* golden;  ///< its text's ids
  const char* activations;
};

class RoundedFolderTest : public testing::GpuEngineTest,
                          public ::testing::WithParamInterface<GoldenFolder> {
 protected:
  void SetUp() override {
    GpuEngineTest::SetUp();
    if (IsSkipped()) return;
    folder_ =
        std::filesystem::path(QUERN_SOURCE_DIR).parent_path() / "shared/quant" / GetParam().name;
    if (!std::filesystem::is_directory(folder_)) GTEST_SKIP() << "no golden quantized folders here";
    expected_ = testing::read_expected({folder_, true});
    ids_ = testing::read_golden(GetParam().golden)["perplexity"]["token_ids"]
               .get<std::vector<std::int32_t>>();
    ids_.resize(expected_["perplexity"]["num_tokens"].get<std::size_t>());
  }

  Engine load_on(DeviceChoice device, DType dtype, ActivationQuantization activations) const {
    return Engine::load(folder_.string(), options_of(device, dtype, activations));
  }

  std::filesystem::path folder_;
  nlohmann::json expected_;
  std::vector<std::int32_t> ids_;
};

TEST_P(RoundedFolderTest, PerplexityIsThatOfTheSameRounding) {
  const double expected =
      expected_["activation_quantised"][GetParam().activations]["perplexity"]["perplexity"]
          .get<double>();
  for (const DType dtype : {DType::float32, DType::float16, DType::bfloat16}) {
    Engine engine = load_on(DeviceChoice::cuda, dtype, ActivationQuantization::checkpoint);
    const double measured = perplexity(engine, ids_);
    RecordProperty(dtype_name(dtype), std::to_string(measured));
    EXPECT_NEAR(measured, expected, 0.01 * expected) << dtype_name(dtype);
  }
}

// In float32 an input's rounding may fall either way where its last bits differ. That is rare: the
// GPU is far nearer to the CPU than both are to inputs as they are. A kernel that rounds nothing,
// or otherwise, would be as far as those.
TEST_P(RoundedFolderTest, LogitsAreTheCpus) {
  const auto some = std::span(ids_).first(100);
  const auto logits_of = [&](DeviceChoice device, ActivationQuantization activations,
                             std::size_t count) {
    return load_on(device, DType::float32, activations).logits(some.first(count));
  };
  for (const std::size_t count : {std::size_t{1}, std::size_t{20}, some.size()}) {
    const auto exact = logits_of(DeviceChoice::cpu, ActivationQuantization::off, count);
    const auto cpu = logits_of(DeviceChoice::cpu, ActivationQuantization::checkpoint, count);
    const auto gpu = logits_of(DeviceChoice::cuda, ActivationQuantization::checkpoint, count);
    EXPECT_LE(relative_difference(gpu, cpu), 0.25 * relative_difference(exact, cpu)) << count;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Folders, RoundedFolderTest,
    ::testing::Values(GoldenFolder{"qwen2-ct-w8a8-2layers", "qwen2", "int8_absmax_127"},
                      GoldenFolder{"llama-ct-fp8-channel-2layers", "llama", "fp8_absmax_448"}),
    [](const auto& test) { return std::string(test.param.activations); });

class RoundedInputsOnGpuTest : public testing::GpuEngineTest {};

TEST_F(RoundedInputsOnGpuTest, RandomW8A8WeightsAreTheCpus) {
  RandomModel model{"gpt2_medium"};
  model.num_layers = 1;
  const std::vector<std::int32_t> ids = {5, 77, 1000};
  for (const bool is_float8 : {false, true}) {
    const auto logits_of = [&](DeviceChoice device, ActivationQuantization activations) {
      EngineOptions options = options_of(device, DType::float32, activations);
      options.max_seq_len = 32;
      options.quantize = is_float8 ? DType::float8_e4m3 : DType::uint8;
      return Engine::load(model, options).logits(ids);
    };
    const auto by_token =
        is_float8 ? ActivationQuantization::checkpoint : ActivationQuantization::token;
    const auto cpu = logits_of(DeviceChoice::cpu, by_token);
    const auto gpu = logits_of(DeviceChoice::cuda, by_token);
    const auto exact = logits_of(DeviceChoice::cpu, ActivationQuantization::off);
    EXPECT_LE(relative_difference(gpu, cpu), 0.25 * relative_difference(exact, cpu)) << is_float8;
  }
}

// Alone or in a batch, recorded: a sequence's tokens are the same.
TEST_F(RoundedInputsOnGpuTest, TokensDoNotDependOnTheBatch) {
  EngineOptions options =
      options_of(DeviceChoice::cuda, DType::float32, ActivationQuantization::token);
  options.quantize = DType::uint8;
  Engine engine = Engine::load(testing::demo_model("tale-llama").string(), options);
  const std::vector<Request> requests = {endless("Once upon a time", 40),
                                         endless("The king had three sons.", 40)};
  const auto both = engine.generate(requests);
  for (std::size_t i = 0; i < requests.size(); ++i) {
    ASSERT_EQ(both[i].output_ids.size(), 40u);
    EXPECT_EQ(engine.generate(requests[i]).output_ids, both[i].output_ids);
  }
}

TEST_F(RoundedInputsOnGpuTest, Int8InGroupsIsForTheCpu) {
  EngineOptions options =
      options_of(DeviceChoice::cuda, DType::float16, ActivationQuantization::int8);
  EXPECT_QUERN_ERROR(ErrorCode::unsupported,
                     ({"quantize_activations int8", "expected off, checkpoint or token"}),
                     Engine::load(testing::demo_model("tale-llama").string(), options));
}

}  // namespace
}  // namespace quern
