#include "quern/quantize.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "io/checkpoint.h"
#include "quern/engine.h"
#include "tests/support/changed_model.h"
#include "tests/support/expect_error.h"
#include "tests/support/test_files.h"

namespace quern {
namespace {

namespace fs = std::filesystem;
using testing::demo_model;
using testing::read_file;
using testing::TempFolder;

/// Ids below a vocabulary, in texts of these lengths.
std::vector<std::vector<std::int32_t>> some_texts(std::initializer_list<int> lengths) {
  std::vector<std::vector<std::int32_t>> texts;
  std::uint32_t state = 1;
  for (const int length : lengths) {
    std::vector<std::int32_t>& text = texts.emplace_back();
    for (int i = 0; i < length; ++i) {
      state = state * 1664525u + 1013904223u;
      text.push_back(static_cast<std::int32_t>(3 + state / 65536 % 1500));
    }
  }
  return texts;
}

class QuantizeTest : public ::testing::Test {
 protected:
  void SetUp() override { QUERN_SKIP_WITHOUT(demo_model("tale-llama")); }

  std::size_t num_entries() const {
    const auto entries = fs::directory_iterator(folder_.path());
    return static_cast<std::size_t>(std::distance(begin(entries), end(entries)));
  }
  /// Every file of two folders is the same.
  static void expect_same_files(const fs::path& a, const fs::path& b) {
    for (const auto& entry : fs::directory_iterator(a)) {
      EXPECT_EQ(read_file(entry.path()), read_file(b / entry.path().filename())) << entry.path();
    }
  }

  const TempFolder folder_;
  const fs::path target_ = folder_ / "out";
};

TEST_F(QuantizeTest, RoundedToNearestItIsTheGoldenFolder) {
  // Made and packed by other programs: numpy, checked with compressed-tensors' pack_to_int32.
  const fs::path golden =
      fs::path(QUERN_SOURCE_DIR).parent_path() / "shared/quant/llama-ct-w4a16-sym-g64";
  QUERN_SKIP_WITHOUT(golden / "model.safetensors");
  quantize(demo_model("tale-llama").string(), target_, {.format = QuantizeFormat::int4});
  const Checkpoint ours = Checkpoint::open(target_);
  const Checkpoint theirs = Checkpoint::open(golden);
  ASSERT_EQ(ours.tensors().size(), theirs.tensors().size());
  for (const auto& [name, tensor] : theirs.tensors()) {
    const CheckpointTensor* own = ours.find(name);
    ASSERT_NE(own, nullptr) << name;
    EXPECT_EQ(own->stored_type, tensor.stored_type) << name;
    EXPECT_EQ(own->shape, tensor.shape) << name;
    EXPECT_EQ(own->read_all(), tensor.read_all()) << name;
  }
  const auto config_of = [](const fs::path& folder) {
    auto config = nlohmann::json::parse(read_file(folder / "config.json"))["quantization_config"];
    config["config_groups"]["group_0"].erase("format");  // newer versions repeat it there
    return config;
  };
  EXPECT_EQ(config_of(target_), config_of(golden));
}

TEST_F(QuantizeTest, KeepsShardsKeysAndOtherFiles) {
  const fs::path source = demo_model("tale-qwen");
  const QuantizedFolder result =
      quantize(source.string(), target_, {.format = QuantizeFormat::int8});
  EXPECT_EQ(result.num_matrices, 16u);
  EXPECT_EQ(result.group_size, 64);
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(source)) names.insert(entry.path().filename());
  for (const auto& entry : fs::directory_iterator(target_)) {
    EXPECT_EQ(names.erase(entry.path().filename()), 1u) << entry.path();
  }
  EXPECT_TRUE(names.empty()) << *names.begin();
  for (const char* name : {"qwen.tiktoken", "generation_config.json", "tokenizer_config.json"}) {
    EXPECT_EQ(read_file(target_ / name), read_file(source / name)) << name;
  }
  auto config = nlohmann::ordered_json::parse(read_file(target_ / "config.json"));
  config.erase("quantization_config");
  EXPECT_EQ(config.dump(), nlohmann::ordered_json::parse(read_file(source / "config.json")).dump());
  const auto index = nlohmann::json::parse(read_file(target_ / "model.safetensors.index.json"));
  EXPECT_EQ(index["metadata"]["total_size"], result.quantized_bytes);
  const Checkpoint checkpoint = Checkpoint::open(target_);
  EXPECT_EQ(index["weight_map"].size(), checkpoint.tensors().size());
}

TEST_F(QuantizeTest, ReadsWhatTorchWrote) {
  const fs::path source = fs::path(QUERN_SOURCE_DIR) / "tests/cases/bin-only";
  quantize(source.string(), target_, {.format = QuantizeFormat::w8a8});
  EXPECT_TRUE(fs::exists(target_ / "model.safetensors"));
  EXPECT_FALSE(fs::exists(target_ / "pytorch_model.bin"));
  EXPECT_EQ(inspect(target_.string()).quantization.method, "compressed-tensors");
}

TEST_F(QuantizeTest, IgnoredModulesAreTheSources) {
  const std::string model = demo_model("tale-llama").string();
  for (const bool calibrated : {false, true}) {
    QuantizeOptions options;
    options.format = QuantizeFormat::w8a8;
    if (calibrated) {
      options.calibration = some_texts({600});
      options.smooth = 0.5f;
    }
    // An exact name, a name's end, and an expression from the name's start.
    options.ignore = {"model.layers.1.mlp.down_proj", "o_proj",
                      "re:.*layers.0.self_attn.[qkv]_proj"};
    const fs::path out = folder_ / (calibrated ? "calibrated" : "nearest");
    const QuantizedFolder result = quantize(model, out, options);
    const Checkpoint source = Checkpoint::open(model);
    const Checkpoint ours = Checkpoint::open(out);
    std::set<std::string> ignored(result.ignored_modules.begin(), result.ignored_modules.end());
    EXPECT_EQ(ignored.size(), result.ignored_modules.size());
    EXPECT_TRUE(ignored.contains("model.layers.0.self_attn.k_proj"));
    EXPECT_FALSE(ignored.contains("model.layers.1.self_attn.k_proj"));
    int num_kept = 0;
    for (const auto& [name, tensor] : source.tensors()) {
      if (!name.ends_with("_proj.weight")) continue;
      const std::string module = name.substr(0, name.size() - std::string(".weight").size());
      const CheckpointTensor* own = ours.find(name);
      ASSERT_NE(own, nullptr) << name;
      EXPECT_EQ(own->stored_type == "I8", !ignored.contains(module)) << name;
      EXPECT_EQ(ours.find(module + ".weight_scale") != nullptr, !ignored.contains(module)) << name;
      if (!ignored.contains(module)) continue;
      EXPECT_EQ(own->read_all(), tensor.read_all()) << name;
      ++num_kept;
    }
    EXPECT_EQ(num_kept, std::ssize(ignored));
    const auto config = nlohmann::json::parse(read_file(out / "config.json"));
    std::vector<std::string> expected = result.ignored_modules;
    expected.emplace_back("lm_head");
    EXPECT_EQ(config["quantization_config"]["ignore"], expected);
    // It is read, and runs with inputs rounded where weights are.
    EXPECT_EQ(inspect(out.string()).quantization.method, "compressed-tensors");
    EngineOptions cpu;
    cpu.device = DeviceChoice::cpu;
    cpu.quantize_activations = ActivationQuantization::checkpoint;
    Engine engine = Engine::load(out.string(), cpu);
    Request request;
    request.prompt_ids = {5, 6, 7};
    request.max_new_tokens = 3;
    EXPECT_NE(engine.generate(request).finish_reason, FinishReason::error);
  }
}

TEST_F(QuantizeTest, BytesDoNotDependOnThreads) {
  for (const auto& [name, smooth] :
       {std::pair<const char*, bool>{"tale-gpt2", true}, {"tale-llama", false}}) {
    QuantizeOptions options;
    options.format = smooth ? QuantizeFormat::w8a8 : QuantizeFormat::int4;
    options.calibration = some_texts({300, 150, 77});
    if (smooth) options.smooth = 0.5f;
    options.threads = 1;
    quantize(demo_model(name).string(), folder_ / (std::string(name) + "1"), options);
    options.threads = 3;
    quantize(demo_model(name).string(), folder_ / (std::string(name) + "3"), options);
    expect_same_files(folder_ / (std::string(name) + "1"), folder_ / (std::string(name) + "3"));
  }
}

TEST_F(QuantizeTest, SmoothingAloneDoesNotChangeTheModel) {
  // 8 bits hardly change it; a factor folded in at one end alone would.
  for (const char* name : {"tale-gpt2", "tale-llama", "tale-qwen2"}) {
    const std::string model = demo_model(name).string();
    QuantizeOptions options;
    options.format = QuantizeFormat::w8a8;
    options.calibration = some_texts({512, 100});
    options.smooth = 0.5f;
    const fs::path out = folder_ / name;
    quantize(model, out, options);
    EngineOptions cpu;
    cpu.device = DeviceChoice::cpu;
    const std::vector<std::int32_t> prompt = {5, 300, 17, 900, 44, 210};
    const std::vector<float> expected = Engine::load(model, cpu).logits(prompt);
    const std::vector<float> logits = Engine::load(out.string(), cpu).logits(prompt);
    double error = 0.0;
    double size = 0.0;
    for (std::size_t i = 0; i < logits.size(); ++i) {
      error += std::pow(double{logits[i]} - double{expected[i]}, 2);
      size += std::pow(double{expected[i]}, 2);
    }
    EXPECT_LT(error, 1e-3 * size) << name;
  }
}

TEST_F(QuantizeTest, RefusesOptionsThatDoNotGoTogether) {
  const std::string model = demo_model("tale-llama").string();
  const auto expect = [&](ErrorCode code, std::initializer_list<std::string_view> parts,
                          const QuantizeOptions& options) {
    testing::expect_error(code, parts, [&] { quantize(model, target_, options); });
    EXPECT_EQ(num_entries(), 0u);
  };
  constexpr auto kInvalid = ErrorCode::invalid_argument;
  expect(kInvalid, {"group_size 100", "divisor", "192", "layers.0.qkv"}, {.group_size = 100});
  expect(kInvalid, {"group_size 32", "int4 or int8", "fp8"},
         {.format = QuantizeFormat::fp8, .group_size = 32});
  expect(kInvalid, {"group_size -1"}, {.group_size = -1});
  expect(kInvalid, {"512 tokens", "got 40"}, {.calibration = some_texts({40})});
  expect(kInvalid, {"smooth", "w8a8", "int4"}, {.calibration = some_texts({600}), .smooth = 0.5f});
  expect(kInvalid, {"smooth", "calibration"}, {.format = QuantizeFormat::w8a8, .smooth = 0.5f});
  expect(kInvalid, {"smooth 1", "(0, 1)"},
         {.format = QuantizeFormat::w8a8, .calibration = some_texts({600}), .smooth = 1.0f});
  expect(kInvalid, {"2048"}, {.calibration = some_texts({3000})});
  expect(kInvalid, {"ignore", "model.layers.0.self_attn.q_proj", "'q_prj'", "none"},
         {.ignore = {"mlp.down_proj", "q_prj"}});
  expect(kInvalid, {"ignore", "all or none", "layers.0.mlp.up_proj", "without", "gate_proj"},
         {.ignore = {"up_proj"}});
  expect(kInvalid, {"ignore", "got all"}, {.ignore = {"model"}});
  expect(kInvalid, {"ignore", "PCRE2", "mlp("}, {.ignore = {"re:.*mlp("}});
  auto texts = some_texts({600});
  texts[0][7] = 2048;
  expect(kInvalid, {"2048", "7"}, {.calibration = texts});
}

TEST_F(QuantizeTest, RefusesWhatIsQuantizedAlready) {
  quantize(demo_model("tale-llama").string(), target_, {.format = QuantizeFormat::int8});
  EXPECT_QUERN_ERROR(ErrorCode::unsupported, ({"config.json", "compressed-tensors", "floats"}),
                     quantize(target_.string(), folder_ / "again", {}));
  EXPECT_FALSE(fs::exists(folder_ / "again"));
}

TEST_F(QuantizeTest, RefusesNumbersThatAreNotFinite) {
  testing::ChangedModel model;
  model.fill("model.layers.1.mlp.up_proj.weight", 5, 1, 0x7c00);
  EXPECT_QUERN_ERROR(ErrorCode::unsupported, ({"layers.1.gate_up", "finite", "inf"}),
                     quantize(model.folder(), target_, {}));
  EXPECT_EQ(num_entries(), 0u);
}

TEST_F(QuantizeTest, AFullDiskLeavesNothing) {
  ::rlimit before = {};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const ::rlimit limit = {1 << 20, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"model.safetensors", "cannot write"}),
                     quantize(demo_model("tale-llama").string(), target_, {}));
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(num_entries(), 0u);
}

TEST_F(QuantizeTest, AnExceptionOfTheCallerLeavesNothing) {
  QuantizeOptions options;
  options.on_progress = [](const QuantizeProgress& progress) {
    if (progress.done_matrices == 3) throw std::runtime_error("enough");
  };
  EXPECT_THROW(quantize(demo_model("tale-llama").string(), target_, options), std::runtime_error);
  EXPECT_EQ(num_entries(), 0u);
}

}  // namespace
}  // namespace quern
