// Quantized folders on a GPU: in float32 and float16 against Hugging Face's results, and in every
// layout against the CPU.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "tests/runtime/cuda/gpu_engine.h"
#include "tests/support/quantized_folders.h"

namespace quern {
namespace {

using testing::QuantizedFolder;

EngineOptions options_of(DeviceChoice device, DType dtype) {
  EngineOptions options;
  options.device = device;
  options.dtype = dtype;
  options.max_seqs = 2;
  return options;
}

float largest_difference(std::span<const float> a, std::span<const float> b) {
  float largest = 0.0f;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const float difference = std::fabs(a[i] - b[i]);
    if (!(difference <= largest)) largest = difference;  // NaN too
  }
  return largest;
}

class QuantizedGpuTest : public testing::GpuEngineTest,
                         public ::testing::WithParamInterface<QuantizedFolder> {};

// One row, a few and more than the kernels for quantized weights take. In float32 only the order of
// sums differs. 16 bits round each layer's values, which random models amplify differently: how
// much the CPU's results in the same dtype show, and the GPU's may be twice as far from float32's.
TEST_P(QuantizedGpuTest, LogitsAreTheCpus) {
  const std::string folder = GetParam().path.string();
  // The tiny models have 64 positions.
  const std::size_t most = GetParam().is_shared ? 70 : 60;
  std::vector<std::int32_t> ids(most);
  for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<std::int32_t>(i * 7 % 37 + 1);
  Engine cpu = Engine::load(folder, options_of(DeviceChoice::cpu, DType::float32));
  const std::vector<float> all = cpu.logits(ids);
  for (const DType dtype : {DType::float32, DType::float16, DType::bfloat16}) {
    float bound = 0.0f;
    if (dtype == DType::float32) {
      for (const float logit : all) bound = std::max(bound, 1e-4f * std::fabs(logit));
    } else {
      Engine rounded = Engine::load(folder, options_of(DeviceChoice::cpu, dtype));
      bound = 2.0f * largest_difference(rounded.logits(ids), all);
    }
    Engine gpu = Engine::load(folder, options_of(DeviceChoice::cuda, dtype));
    for (const std::size_t count : {std::size_t{1}, std::size_t{2}, std::size_t{24}, most}) {
      const auto some = std::span(ids).first(count);
      EXPECT_LE(largest_difference(gpu.logits(some), cpu.logits(some)), bound)
          << dtype_name(dtype) << ", " << count << " tokens";
    }
  }
}

TEST_P(QuantizedGpuTest, GreedyIdsAreHuggingFaces) {
  if (!GetParam().is_shared) GTEST_SKIP() << "no results of Hugging Face";
  const auto expected = testing::read_expected(GetParam());
  for (const DType dtype : {DType::float32, DType::float16}) {
    Engine engine = Engine::load(GetParam().path.string(), options_of(DeviceChoice::cuda, dtype));
    std::vector<Request> requests;
    for (const auto& each : expected["cases"]) {
      Request request;
      request.prompt_ids = each["prompt_ids"].get<std::vector<std::int32_t>>();
      request.sampling.greedy = true;
      request.max_new_tokens = 48;
      request.ignore_eos = true;
      requests.push_back(request);
    }
    // A logit of about 20 that is rounded to 11 bits in several layers.
    const double near_tie = dtype == DType::float32 ? 1e-3 : 5e-2;
    const auto results = engine.generate(requests);
    for (std::size_t i = 0; i < results.size(); ++i) {
      const auto& each = expected["cases"][i];
      const auto ids = each["greedy_ids_ignore_eos"].get<std::vector<std::int32_t>>();
      const auto gaps = each["gaps"].get<std::vector<double>>();
      ASSERT_EQ(results[i].output_ids.size(), ids.size());
      for (std::size_t at = 0; at < ids.size(); ++at) {
        if (results[i].output_ids[at] == ids[at]) continue;
        EXPECT_LT(gaps[at], near_tie) << dtype_name(dtype) << ", case " << i << ", token " << at;
        break;  // what follows differs
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Folders, QuantizedGpuTest,
                         ::testing::ValuesIn(testing::quantized_folders()),
                         [](const auto& test) { return testing::folder_test_name(test.param); });

class QuantizeOnGpuTest : public testing::GpuEngineTest {};

TEST_F(QuantizeOnGpuTest, RandomWeightsAreTheCpus) {
  RandomModel model{"gpt2_medium"};  // all matrices of whole groups: quantized on the GPU
  model.num_layers = 1;
  const std::vector<std::int32_t> ids = {5, 77, 1000};
  for (const DType quantize : {DType::uint4, DType::uint8, DType::float8_e4m3}) {
    EngineOptions options = options_of(DeviceChoice::cpu, DType::float32);
    options.max_seq_len = 32;
    options.quantize = quantize;
    const std::vector<float> expected = Engine::load(model, options).logits(ids);
    options.device = DeviceChoice::cuda;
    const std::vector<float> logits = Engine::load(model, options).logits(ids);
    float size = 0.0f;
    for (const float logit : expected) size = std::max(size, std::fabs(logit));
    // Other rounding of a single weight would show in the fifth digit.
    EXPECT_LE(largest_difference(logits, expected), 1e-5f * size) << dtype_name(quantize);
  }
}

}  // namespace
}  // namespace quern
