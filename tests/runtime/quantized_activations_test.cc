// Inputs of quantized matrices rounded as the checkpoint was made for, and to int8 for products of
// integers.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "backend/cpu/integer/integer_kernels.h"
#include "backend/cpu/views.h"
#include "base/half.h"
#include "model/model.h"
#include "quern/engine.h"
#include "tests/runtime/golden.h"
#include "tests/support/expect_error.h"
#include "tests/support/quantized_folders.h"
#include "tests/support/test_files.h"
#include "weights/load.h"
#include "weights/quant/quantized_tensor.h"

namespace quern {
namespace {

using Json = nlohmann::json;

EngineOptions cpu_options(ActivationQuantization activations) {
  EngineOptions options;
  options.device = DeviceChoice::cpu;
  options.dtype = DType::float32;
  options.threads = 2;
  options.max_seqs = 2;
  options.quantize_activations = activations;
  return options;
}

/// exp of the mean negative log-probability of each id after the first.
double perplexity(Engine& engine, const std::vector<std::int32_t>& ids) {
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

/// A folder whose golden results include quantized activations, and how they are quantized.
struct GoldenFolder {
  const char* name;
  const char* golden;  ///< its text's ids
  const char* activations;
};

class QuantizedActivationsTest : public ::testing::TestWithParam<GoldenFolder> {
 protected:
  void SetUp() override {
    folder_ =
        std::filesystem::path(QUERN_SOURCE_DIR).parent_path() / "shared/quant" / GetParam().name;
    if (!std::filesystem::is_directory(folder_)) GTEST_SKIP() << "no golden quantized folders here";
    expected_ = testing::read_expected({folder_, true});
    activations_ = expected_["activation_quantised"][GetParam().activations];
  }

  Engine load(ActivationQuantization activations) const {
    return Engine::load(folder_.string(), cpu_options(activations));
  }

  /// The ids of the golden text.
  std::vector<std::int32_t> text_ids() const {
    auto ids = testing::read_golden(GetParam().golden)["perplexity"]["token_ids"]
                   .get<std::vector<std::int32_t>>();
    ids.resize(expected_["perplexity"]["num_tokens"].get<std::size_t>());
    return ids;
  }

  std::filesystem::path folder_;
  Json expected_;
  Json activations_;
};

TEST_P(QuantizedActivationsTest, PerplexityIsThatOfTheSameRounding) {
  const std::vector<std::int32_t> ids = text_ids();
  Engine exact = load(ActivationQuantization::off);
  const double without = expected_["perplexity"]["perplexity"].get<double>();
  EXPECT_NEAR(perplexity(exact, ids), without, 1e-4 * without);
  Engine rounded = load(ActivationQuantization::checkpoint);
  const double with = activations_["perplexity"]["perplexity"].get<double>();
  const double measured = perplexity(rounded, ids);
  RecordProperty("perplexity", std::to_string(measured));
  EXPECT_NEAR(measured, with, 0.01 * with);
  EXPECT_NE(measured, perplexity(exact, ids));
}

/// One layer's input, integers and output.
TEST_P(QuantizedActivationsTest, OneLinearIsExact) {
  const Json& linear = activations_["one_linear"];
  const auto q = linear["q"].get<std::vector<float>>();
  const auto y = linear["y"].get<std::vector<float>>();
  auto x = linear["x"].get<std::vector<float>>();

  // q, k and v are one weight; q's rows are the first.
  const Checkpoint checkpoint = Checkpoint::open(folder_);
  const Graph graph = build_graph(load_model_config(folder_), checkpoint, DType::float32);
  const auto is_qkv = [](const WeightSpec& spec) {
    return spec.parts.front().name == "model.layers.0.self_attn.q_proj.weight";
  };
  const auto spec = std::ranges::find_if(graph.weights, is_qkv);
  ASSERT_NE(spec, graph.weights.end());
  WeightFormat format = stored_format(*spec, checkpoint, DType::float32);
  format.activation = spec->parts.front().quantized->scheme.inputs.value();
  std::vector<std::byte> bytes(storage_bytes(format, spec->shape()));
  NumberWarnings warnings;
  const Weight weight =
      load_weight(checkpoint, *spec, format, warnings, [&](const WeightSource& source) {
        for (const ComponentPlace& place : component_places(format, spec->shape())) {
          source.reader(place.component)(0, place.rows, bytes.data() + place.offset);
        }
        return row_major_weight(format, spec->shape(), bytes.data(), Device{});
      });
  std::vector<float> bias(y.size());
  if (const CheckpointTensor* tensor = checkpoint.find("model.layers.0.self_attn.q_proj.bias")) {
    const std::vector<std::byte> stored = tensor->read_all();
    ASSERT_EQ(tensor->stored_type, "F16");
    load_floats(DType::float16, stored.data(), bias);
  }

  Workspace counting;
  cpu::take_rounded_input(counting, 1, weight.in_features, format);
  std::vector<std::byte> memory(counting.used_bytes());
  Workspace workspace(memory);
  const auto rounded = cpu::take_rounded_input(workspace, 1, weight.in_features, format);
  ThreadPool pool(1);
  cpu::round_input(cpu::float_view(x.data(), 1, weight.in_features), weight, rounded, pool);
  const auto scale = linear["scale"].get<float>();
  if (format.activation.rounding == ActivationRounding::float8_e4m3) {
    for (std::size_t i = 0; i < q.size(); ++i) EXPECT_EQ(rounded.floats[i], scale * q[i]) << i;
    return;
  }
  EXPECT_EQ(rounded.scales[0], scale);
  for (std::size_t i = 0; i < q.size(); ++i) EXPECT_EQ(rounded.integers[i], q[i]) << i;
  std::vector<float> out(y.size());
  cpu::integer_dot()(rounded, weight, 0,
                     cpu::float_view(out.data(), 1, static_cast<std::int64_t>(out.size())));
  for (std::size_t i = 0; i < y.size(); ++i) EXPECT_EQ(out[i] + bias[i], y[i]) << i;
}

INSTANTIATE_TEST_SUITE_P(
    Folders, QuantizedActivationsTest,
    ::testing::Values(GoldenFolder{"qwen2-ct-w8a8-2layers", "qwen2", "int8_absmax_127"},
                      GoldenFolder{"llama-ct-fp8-channel-2layers", "llama", "fp8_absmax_448"}),
    [](const auto& test) { return std::string(test.param.activations); });

std::string tiny_folder(const char* name) {
  return (std::filesystem::path(QUERN_SOURCE_DIR) / "tests/golden/quant" / name).string();
}

TEST(QuantizedActivations, RoundWhatTheCheckpointRounds) {
  const auto formats = [](const char* name, ActivationQuantization activations) {
    std::string all;
    for (const auto& storage : inspect(tiny_folder(name), cpu_options(activations)).weights) {
      all += storage.format + "\n";
    }
    return all;
  };
  EXPECT_NE(
      formats("fp8-blocks", ActivationQuantization::checkpoint).find("inputs float8_e4m3 of "),
      std::string::npos);
  for (const char* name : {"awq-g16", "fp8-blocks"}) {
    EXPECT_EQ(formats(name, ActivationQuantization::off).find(", inputs"), std::string::npos)
        << name;
  }
  EXPECT_EQ(formats("awq-g16", ActivationQuantization::checkpoint).find(", inputs"),
            std::string::npos)
      << "made for inputs as they are";
}

TEST(QuantizedActivations, ProductsOfIntegersAreNearTheExactOnes) {
  const std::string demo = testing::demo_model("tale-llama").string();
  const std::vector<std::int32_t> ids = {1, 1704, 638, 261, 499, 424, 308, 261};
  for (const DType dtype : {DType::uint8, DType::uint4}) {
    EngineOptions options = cpu_options(ActivationQuantization::off);
    options.quantize = dtype;
    Engine exact = Engine::load(demo, options);
    options.quantize_activations = ActivationQuantization::int8;
    Engine fast = Engine::load(demo, options);
    const std::vector<float> expected = exact.logits(ids);
    const std::vector<float> logits = fast.logits(ids);
    double error = 0;
    double size = 0;
    for (std::size_t i = 0; i < logits.size(); ++i) {
      error += std::pow(double{logits[i]} - expected[i], 2);
      size += std::pow(double{expected[i]}, 2);
    }
    const double relative = std::sqrt(error / size);
    RecordProperty(dtype_name(dtype), std::to_string(relative));
    EXPECT_GT(relative, 0.0);
    // Of each group of 32 the largest number's step is 1/127, a uniform error's deviation 0.29 of
    // it: 0.5 % of a number of typical size; the layers add up to a few times that.
    EXPECT_LT(relative, 0.02);
    // One by one, in chunks or in a batch: the same bits.
    for (std::size_t i = 0; i < ids.size(); ++i) {
      const std::vector<float> prefix = fast.logits(std::span(ids).first(i + 1));
      EXPECT_TRUE(std::equal(prefix.begin(), prefix.end(), logits.begin()));
    }
  }
}

/// A float model quantized at load, with rounded inputs, whose matrices are `named` so.
void check_near_the_exact_one(DType quantize, ActivationQuantization activations,
                              double most_relative, std::string_view named) {
  const std::string demo = testing::demo_model("tale-llama").string();
  const std::vector<std::int32_t> ids = {1, 1704, 638, 261, 499, 424, 308, 261};
  EngineOptions options = cpu_options(ActivationQuantization::off);
  const std::vector<float> expected = Engine::load(demo, options).logits(ids);
  options = cpu_options(activations);
  options.quantize = quantize;
  Engine engine = Engine::load(demo, options);
  const std::vector<float> logits = engine.logits(ids);
  double error = 0;
  double size = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    error += std::pow(double{logits[i]} - expected[i], 2);
    size += std::pow(double{expected[i]}, 2);
  }
  const double relative = std::sqrt(error / size);
  ::testing::Test::RecordProperty("relative", std::to_string(relative));
  EXPECT_GT(relative, 0.0);
  EXPECT_LT(relative, most_relative);
  bool is_named = false;
  for (const auto& storage : inspect(demo, options).weights) {
    is_named = is_named || storage.format == named;
  }
  EXPECT_TRUE(is_named);
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const std::vector<float> prefix = engine.logits(std::span(ids).first(i + 1));
    EXPECT_TRUE(std::equal(prefix.begin(), prefix.end(), logits.begin()));
  }
}

TEST(QuantizedActivations, W8A8OfAFloatModelIsNearTheExactOne) {
  // A whole row has one step, of 1/127 of its largest number: with outliers of ten times the
  // typical number 3 % of that one, for inputs and weights.
  check_near_the_exact_one(DType::uint8, ActivationQuantization::token, 0.05,
                           "uint8 (float16 scales of a row), inputs int8 of a row");
}

TEST(QuantizedActivations, Fp8W8A8OfAFloatModelIsNearTheExactOne) {
  // Each number has three bits: up to 6 %, 2.6 % in the mean square, of inputs and weights.
  check_near_the_exact_one(DType::float8_e4m3, ActivationQuantization::checkpoint, 0.1,
                           "float8_e4m3 (float32 scales of a row), inputs float8_e4m3 of a row");
}

TEST(QuantizedActivations, AreRefusedWhereTheyCannotRun) {
  EngineOptions options = cpu_options(ActivationQuantization::checkpoint);
  options.quantize_activations = static_cast<ActivationQuantization>(7);
  EXPECT_QUERN_ERROR(ErrorCode::invalid_argument, ({"quantize_activations", "7"}),
                     Engine::load(tiny_folder("awq-g16"), options));

  const testing::TempFolder folder;
  std::filesystem::copy(
      tiny_folder("fp8-tensor"), folder.path(),
      std::filesystem::copy_options::recursive | std::filesystem::copy_options::overwrite_existing);
  Json config = Json::parse(testing::read_file(folder.path() / "config.json"));
  config["quantization_config"]["activation_scheme"] = "static";
  testing::write_file(folder.path() / "config.json", config.dump());
  Engine::load(folder.path().string(), cpu_options(ActivationQuantization::off));
  EXPECT_QUERN_ERROR(
      ErrorCode::unsupported,
      ({"quantize_activations checkpoint", "config.json", "q_proj", "expected dynamic"}),
      Engine::load(folder.path().string(), cpu_options(ActivationQuantization::checkpoint)));
}

}  // namespace
}  // namespace quern
