// Quantized folders on the CPU: the same logits as from a folder of their dequantized weights, and
// Hugging Face's where there are golden results.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <numeric>

#include "base/half.h"
#include "model/model.h"
#include "quern/engine.h"
#include "quern/safetensors.h"
#include "tests/support/expect_error.h"
#include "tests/support/quantized_folders.h"
#include "tests/support/test_files.h"
#include "weights/quant/join.h"

namespace quern {
namespace {

using testing::QuantizedFolder;

EngineOptions cpu_options() {
  EngineOptions options;
  options.device = DeviceChoice::cpu;
  options.dtype = DType::float32;
  options.threads = 2;
  options.max_seqs = 2;
  return options;
}

/// Writes the folder's model with its quantized matrices as float32.
void write_float_twin(const std::filesystem::path& folder, const std::filesystem::path& twin) {
  const Checkpoint checkpoint = Checkpoint::open(folder);
  const Graph graph = build_graph(load_model_config(folder), checkpoint, DType::float32);
  std::vector<testing::RawTensor> tensors;
  for (const WeightSpec& spec : graph.weights) {
    for (const WeightPart& part : spec.parts) {
      if (!part.quantized) {
        const CheckpointTensor& tensor = *checkpoint.find(part.name);
        const std::vector<std::byte> bytes = tensor.read_all();
        tensors.push_back({part.name,
                           tensor.stored_type,
                           tensor.shape,
                           {reinterpret_cast<const char*>(bytes.data()), bytes.size()}});
        continue;
      }
      std::vector<float> numbers(static_cast<std::size_t>(part.shape[0] * part.shape[1]));
      DequantizingReader(*part.quantized)
          .read(0, part.shape[0], DType::float32, reinterpret_cast<std::byte*>(numbers.data()));
      tensors.push_back({part.name, "F32", part.shape, testing::bytes_of(numbers)});
    }
  }
  testing::write_file(twin / "model.safetensors", testing::make_safetensors(tensors));
  auto config = nlohmann::json::parse(testing::read_file(folder / "config.json"));
  config.erase("quantization_config");
  testing::write_file(twin / "config.json", config.dump());
}

class QuantizedEngineTest : public ::testing::TestWithParam<QuantizedFolder> {};

TEST_P(QuantizedEngineTest, LogitsAreThoseOfTheDequantizedWeights) {
  const testing::TempFolder twin;
  write_float_twin(GetParam().path, twin.path());
  std::vector<std::int32_t> ids(24);  // more rows than products that read weights as stored take
  for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<std::int32_t>(i * 7 % 37 + 1);
  Engine quantized = Engine::load(GetParam().path.string(), cpu_options());
  Engine floats = Engine::load(twin.path().string(), cpu_options());
  for (const std::size_t count : {1, 24}) {
    const auto some = std::span(ids).first(count);
    EXPECT_EQ(quantized.logits(some), floats.logits(some));
  }
}

std::string decode_base64(const std::string& text) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string bytes;
  unsigned bits = 0;
  int count = 0;
  for (const char c : text) {
    const auto digit = kDigits.find(c);
    if (digit == std::string_view::npos) break;
    bits = bits << 6 | static_cast<unsigned>(digit);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    bytes.push_back(static_cast<char>(bits >> count & 0xff));
  }
  return bytes;
}

TEST_P(QuantizedEngineTest, LogitsAndGreedyIdsAreHuggingFaces) {
  if (!GetParam().is_shared) GTEST_SKIP() << "no results of Hugging Face";
  const auto expected = testing::read_expected(GetParam());
  Engine engine = Engine::load(GetParam().path.string(), cpu_options());
  std::vector<Request> requests;
  for (const auto& each : expected["cases"]) {
    const auto ids = each["prompt_ids"].get<std::vector<std::int32_t>>();
    const std::string bytes = decode_base64(each["last_logits_f32le_base64"].get<std::string>());
    std::vector<float> last(bytes.size() / sizeof(float));
    std::memcpy(last.data(), bytes.data(), bytes.size());
    const std::vector<float> logits = engine.logits(ids);
    const auto own = std::span(logits).last(last.size());
    float largest = 0.0f;
    for (std::size_t i = 0; i < last.size(); ++i) {
      largest = std::max(largest, std::fabs(own[i] - last[i]));
    }
    EXPECT_LT(largest, 1e-3f);
    Request request;
    request.prompt_ids = ids;
    request.sampling.greedy = true;
    request.max_new_tokens = 48;
    request.ignore_eos = true;
    requests.push_back(request);
  }
  const auto results = engine.generate(requests);
  for (std::size_t i = 0; i < results.size(); ++i) {
    const auto& each = expected["cases"][i];
    const auto ids = each["greedy_ids_ignore_eos"].get<std::vector<std::int32_t>>();
    const auto gaps = each["gaps"].get<std::vector<double>>();
    for (std::size_t at = 0; at < ids.size(); ++at) {
      if (results[i].output_ids[at] == ids[at]) continue;
      EXPECT_LT(gaps[at], 1e-3) << "case " << i << ", token " << at;
      break;  // what follows differs
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Folders, QuantizedEngineTest,
                         ::testing::ValuesIn(testing::quantized_folders()),
                         [](const auto& test) { return testing::folder_test_name(test.param); });

TEST(QuantizedSummary, NamesFormatsBytesAndWhatIsLeftInFloats) {
  const auto folder = [](const char* name) {
    return (std::filesystem::path(QUERN_SOURCE_DIR) / "tests/golden/quant" / name).string();
  };
  const ModelSummary awq = inspect(folder("awq-g16"), cpu_options());
  EXPECT_EQ(awq.quantization.method, "awq");
  EXPECT_EQ(awq.quantization.num_quantized, 6);
  EXPECT_EQ(awq.quantization.float_modules,
            (std::vector<std::string>{"model.layers.0.mlp.down_proj", "lm_head"}));
  const auto packed = std::ranges::find(
      awq.weights, "uint4 (float16 scales of 16 inputs, zero points)", &WeightStorage::format);
  ASSERT_NE(packed, awq.weights.end());
  EXPECT_EQ(packed->num_weights, 3) << "qkv, o, gate and up";
  EXPECT_EQ(packed->num_parameters, 64u * 32 + 32 * 32 + 96 * 32);
  // Half a byte a number, and 2 + 1 bytes for 16 of them.
  EXPECT_EQ(packed->bytes, packed->num_parameters / 2 + packed->num_parameters / 16 * 3);

  const ModelSummary mixed = inspect(folder("ct-mixed"), cpu_options());
  EXPECT_EQ(
      mixed.quantization.widened_modules,
      (std::vector<std::string>{"model.layers.0.mlp.gate_proj", "model.layers.0.mlp.up_proj"}))
      << "float8 beside integers";
  EXPECT_GT(
      inspect(folder("gptq4-v1-zero-points-0"), cpu_options()).quantization.num_wrapped_zero_points,
      0);
}

TEST(QuantizeAtLoad, KeepsTheLayersInTheFormatThatIsAskedFor) {
  const std::string demo = testing::demo_model("tale-llama").string();
  EngineOptions options = cpu_options();
  Engine floats = Engine::load(demo, options);
  const std::vector<std::int32_t> ids = {1, 1704, 638, 261, 499, 424, 308, 261};
  const std::vector<float> exact = floats.logits(ids);
  float size = 0.0f;
  for (const float logit : exact) size = std::max(size, std::fabs(logit));
  std::vector<float> errors;
  for (const DType dtype : {DType::uint8, DType::float8_e4m3, DType::uint4}) {
    options.quantize = dtype;
    const ModelSummary summary = inspect(demo, options);
    EXPECT_TRUE(std::ranges::any_of(summary.weights, [&](const WeightStorage& storage) {
      return storage.format.starts_with(dtype_name(dtype));
    }));
    const std::vector<float> logits = Engine::load(demo, options).logits(ids);
    float largest = 0.0f;
    for (std::size_t i = 0; i < logits.size(); ++i) {
      largest = std::max(largest, std::fabs(logits[i] - exact[i]));
    }
    EXPECT_GT(largest, 0.0f) << dtype_name(dtype);
    errors.push_back(largest);
  }
  // The step of 4 bits is 17 times that of 8; float8 has 4 significant bits, the integers of a
  // group's larger numbers have 7.
  EXPECT_LT(errors[0], errors[1]);
  EXPECT_LT(errors[0] * 4, errors[2]);
  EXPECT_LT(errors[2], size) << "still of use";
}

TEST(QuantizeAtLoad, WorksForRandomWeights) {
  EngineOptions options = cpu_options();
  options.max_seq_len = 32;
  RandomModel model{"gpt2_medium"};
  model.num_layers = 1;
  const std::vector<std::int32_t> ids = {5, 77, 1000};
  const std::vector<float> exact = Engine::load(model, options).logits(ids);
  options.quantize = DType::uint8;
  const std::vector<float> logits = Engine::load(model, options).logits(ids);
  float size = 0.0f;
  float largest = 0.0f;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    size = std::max(size, std::fabs(exact[i]));
    largest = std::max(largest, std::fabs(logits[i] - exact[i]));
  }
  EXPECT_GT(largest, 0.0f);
  // The numbers are uniform: an error of at most half a step of 1/127.5 of the largest is 0.4 % of
  // their deviation; five matrices add up to about twice that.
  EXPECT_LT(largest, 0.01f * size);
}

TEST(QuantizeAtLoad, RefusesOtherTypesAndAQuantizedFolder) {
  const auto folder = std::filesystem::path(QUERN_SOURCE_DIR) / "tests/golden/quant/awq-g16";
  EngineOptions options = cpu_options();
  options.quantize = DType::uint4;
  EXPECT_QUERN_ERROR(ErrorCode::invalid_argument, ({"quantize uint4", "quantized already (awq)"}),
                     Engine::load(folder.string(), options));
  options.quantize = DType::int32;
  EXPECT_QUERN_ERROR(ErrorCode::invalid_argument, ({"quantize int32", "uint4"}),
                     Engine::load(folder.string(), options));
}

}  // namespace
}  // namespace quern
