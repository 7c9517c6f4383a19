// Quantized folders that are truncated, mislabelled or contradict themselves: errors that name
// file, tensor or key, expected and actual.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <functional>

#include "io/json/json.h"
#include "model/model.h"
#include "tests/support/expect_error.h"
#include "tests/support/test_files.h"
#include "weights/load.h"

namespace quern {
namespace {

using testing::RawTensor;

const std::string kDown = "model.layers.0.mlp.down_proj.";
const std::string kQ = "model.layers.0.self_attn.q_proj.";

/// A tiny folder of tests/golden/quant, to be changed.
struct Folder {
  explicit Folder(const std::string& name) {
    const auto path = std::filesystem::path(QUERN_SOURCE_DIR) / "tests/golden/quant" / name;
    config = Json::parse(testing::read_file(path / "config.json"));
    const Checkpoint checkpoint = Checkpoint::open(path);
    for (const auto& [tensor_name, tensor] : checkpoint.tensors()) {
      const std::vector<std::byte> bytes = tensor.read_all();
      tensors.push_back({tensor_name,
                         tensor.stored_type,
                         tensor.shape,
                         {reinterpret_cast<const char*>(bytes.data()), bytes.size()}});
    }
  }

  Json& quantization() { return config["quantization_config"]; }
  RawTensor& tensor(const std::string& name) {
    const auto found = std::ranges::find(tensors, name, &RawTensor::name);
    if (found == tensors.end()) throw std::runtime_error("no tensor " + name);
    return *found;
  }
  void remove(const std::string& name) {
    std::erase_if(tensors, [&](const RawTensor& each) { return each.name == name; });
  }
  template <typename T>
  void set(const std::string& name, std::size_t index, T value) {
    std::memcpy(tensor(name).data.data() + index * sizeof(T), &value, sizeof(T));
  }

  /// Opens the folder and reads all of its weights.
  void load(const std::string& extra_file = "") const {
    const testing::TempFolder folder;
    testing::write_file(folder / "config.json", config.dump());
    if (!extra_file.empty()) testing::write_file(folder / "quantize_config.json", extra_file);
    testing::write_file(folder / "model.safetensors", testing::make_safetensors(tensors));
    const Checkpoint checkpoint = Checkpoint::open(folder.path());
    const Graph graph = build_graph(load_model_config(folder.path()), checkpoint, DType::float32);
    for (const WeightSpec& spec : graph.weights) {
      const WeightFormat format = stored_format(spec, checkpoint, DType::float32);
      std::vector<std::byte> bytes(storage_bytes(format, spec.shape()));
      NumberWarnings warnings;
      load_weight(checkpoint, spec, format, warnings, [&](const WeightSource& source) {
        for (const ComponentPlace& place : component_places(format, spec.shape())) {
          source.reader(place.component)(0, place.rows, bytes.data() + place.offset);
        }
        return row_major_weight(format, spec.shape(), bytes.data(), Device{});
      });
    }
  }

  Json config;
  std::vector<RawTensor> tensors;
};

void expect_bad(const std::string& name, const std::function<void(Folder&)>& change,
                std::initializer_list<std::string_view> parts,
                ErrorCode code = ErrorCode::bad_file) {
  Folder folder(name);
  change(folder);
  SCOPED_TRACE(name);
  testing::expect_error(code, parts, [&] { folder.load(); });
}

TEST(QuantizedErrors, FoldersLoadUnchanged) {
  for (const char* name : {"gptq4-v1-asym", "ct-w4a16-asym-actorder", "fp8-blocks"}) {
    Folder(name).load();
  }
}

TEST(QuantizedErrors, MissingTensors) {
  const auto without = [](const std::string& name) {
    return [=](Folder& folder) { folder.remove(name); };
  };
  expect_bad("gptq4-v1-asym", without(kDown + "qzeros"),
             {"down_proj.qzeros' is missing", "expected shape [3, 4]", "group_size 16"});
  expect_bad("gptq4-v1-asym", without(kDown + "scales"), {"down_proj.scales' is missing"});
  expect_bad("gptq4-v1-asym", without(kDown + "qweight"), {"down_proj.qweight' is missing"});
  expect_bad("awq-g16", without(kQ + "qzeros"), {"q_proj.qzeros' is missing"});
  expect_bad("ct-w8a16-asym-g24", without(kDown + "weight_zero_point"),
             {"down_proj.weight_zero_point' is missing", "expected shape [8, 2]"});
  expect_bad("ct-w8a16-asym-g24", without(kDown + "weight_shape"), {"weight_shape' is missing"});
  expect_bad("fp8-blocks", without(kDown + "weight_scale_inv"),
             {"down_proj.weight_scale_inv' is missing", "expected shape [3, 3]"});
}

TEST(QuantizedErrors, ShapesThatDoNotMatchTheConfig) {
  const auto key = [](const char* name, const Json& value) {
    return [=](Folder& folder) { folder.quantization()[name] = value; };
  };
  expect_bad("gptq4-v1-asym", key("group_size", 32),
             {"model.safetensors", "q_proj.scales", "expected shape [1, 32], got [2, 32]",
              "group_size 32"});
  expect_bad("gptq4-v1-asym", key("bits", 8),
             {"q_proj.qweight", "expected shape [8, 32], got [4, 32]", "8 bits"});
  expect_bad("awq-g16", key("group_size", -1), {"q_proj.scales", "expected shape [1, 32]"});
  expect_bad("gptq4-v1-asym",
             [](Folder& folder) {
               folder.quantization() = {{"quant_method", "awq"}, {"bits", 4}, {"group_size", 16}};
             },
             {"q_proj.qweight", "expected shape [32, 4], got [4, 32]"});
  expect_bad("fp8-blocks", key("weight_block_size", {16, 16}),
             {"q_proj.weight_scale_inv", "expected shape [2, 2], got [3, 2]"});
  expect_bad("gptq4-v1-asym",
             [](Folder& folder) {
               folder.tensor(kQ + "scales").shape = {32, 2};
             },
             {"q_proj.scales", "expected shape [2, 32], got [32, 2]"});
  expect_bad("gptq4-v1-asym", [](Folder& folder) { folder.tensor(kQ + "scales").type = "I16"; },
             {"q_proj.scales", "expected dtype F16, BF16, F32, got I16"});
  expect_bad("awq-g16", [](Folder& folder) { folder.config["intermediate_size"] = 44; },
             {"gate_proj", "44 rows do not fill words of 8 numbers"});
}

TEST(QuantizedErrors, ShapeWordsThatLie) {
  expect_bad("ct-w8a16-asym-g24",
             [](Folder& folder) { folder.set<std::int64_t>(kDown + "weight_shape", 1, 40); },
             {"down_proj.weight_shape", "expected [32, 48], got [32, 40]"});
}

TEST(QuantizedErrors, GroupsOutOfRange) {
  expect_bad("gptq4-desc_act",
             [](Folder& folder) { folder.set<std::int32_t>(kDown + "g_idx", 5, 3); },
             {"down_proj.g_idx", "expected groups from 0 to 2, got 3 for input 5"});
  expect_bad("ct-w4a16-asym-actorder",
             [](Folder& folder) { folder.set<std::int32_t>(kDown + "weight_g_idx", 0, -2); },
             {"down_proj.weight_g_idx", "got -2 for input 0"});
  expect_bad("gptq4-desc_act",
             [](Folder& folder) {
               folder.tensor(kDown + "g_idx").shape = {24};
               folder.tensor(kDown + "g_idx").data.resize(96);
             },
             {"down_proj.g_idx", "expected shape [48], got [24]"});
}

TEST(QuantizedErrors, ScalesThatAreNotFinite) {
  expect_bad("gptq4-v1-asym",
             [](Folder& folder) { folder.set<std::uint16_t>(kDown + "scales", 7, 0x7c00); },
             {"down_proj.scales", "expected finite scales, got inf as number 7 of 96"});
  expect_bad(
      "fp8-blocks",
      [](Folder& folder) { folder.set<std::uint32_t>(kQ + "weight_scale_inv", 0, 0x7fc00000); },
      {"q_proj.weight_scale_inv", "expected finite scales, got nan"});
}

TEST(QuantizedErrors, ConfigsThatContradictTheTensors) {
  expect_bad("gptq4-v1-asym", [](Folder& folder) { folder.config.erase("quantization_config"); },
             {"q_proj' are quantized", "expected a quantization_config in config.json"});
  expect_bad("awq-g16",
             [](Folder& folder) { folder.quantization()["modules_to_not_convert"] = {"q_proj"}; },
             {"q_proj' are quantized, expected floats"});
  expect_bad("ct-mixed", [](Folder& folder) { folder.quantization()["ignore"] = {"re:.*q_proj"}; },
             {"q_proj' are quantized, expected floats"});
  expect_bad("gptq4-v1-asym",
             [](Folder& folder) {
               folder.tensors.push_back({kQ + "weight", "F16", {32, 32}, std::string(2048, '\0')});
             },
             {"q_proj' is there in floats and quantized, expected one"});
  expect_bad(
      "awq-g16",
      [](Folder& folder) {
        std::erase_if(folder.tensors, [](const RawTensor& tensor) {
          return tensor.name.find("proj") != std::string::npos;
        });
        for (const auto& [name, rows, cols] : {std::tuple{"self_attn.q_proj", 32, 32},
                                               {"self_attn.k_proj", 16, 32},
                                               {"self_attn.v_proj", 16, 32},
                                               {"self_attn.o_proj", 32, 32},
                                               {"mlp.gate_proj", 48, 32},
                                               {"mlp.up_proj", 48, 32},
                                               {"mlp.down_proj", 32, 48}}) {
          folder.tensors.push_back({std::string("model.layers.0.") + name + ".weight",
                                    "F16",
                                    {rows, cols},
                                    std::string(static_cast<std::size_t>(2 * rows * cols), '\0')});
        }
      },
      {"config.json", "expected awq tensors, got none but floats"});
}

TEST(QuantizedErrors, WhatIsNotSupportedIsRefusedByName) {
  const auto config = [](Json quantization) {
    return [=](Folder& folder) { folder.quantization() = quantization; };
  };
  const auto unsupported = ErrorCode::unsupported;
  const Json gptq = {{"quant_method", "gptq"}, {"bits", 4}, {"group_size", 16}};
  const auto changed = [](Json json, const char* key, const Json& value) {
    json[key] = value;
    return json;
  };
  for (const char* method : {"bitsandbytes", "mxfp4", "hqq", "quanto", "fbgemm_fp8"}) {
    expect_bad("gptq4-v1-asym", config({{"quant_method", method}}),
               {"config.json", "quantization_config.quant_method", method,
                "expected gptq, awq, compressed-tensors or fp8"},
               unsupported);
  }
  expect_bad("gptq4-v1-asym", config({{"load_in_4bit", true}}), {"bitsandbytes"}, unsupported);
  expect_bad("gptq4-v1-asym", config(changed(gptq, "bits", 3)), {"3 bits", "expected 4 or 8"},
             unsupported);
  expect_bad("gptq4-v1-asym", config(changed(gptq, "checkpoint_format", "marlin")),
             {"checkpoint_format", "marlin", "gptq or gptq_v2"}, unsupported);
  for (const char* version : {"gemv", "gemv_fast", "marlin"}) {
    expect_bad("awq-g16", config({{"quant_method", "awq"}, {"bits", 4}, {"version", version}}),
               {"version", version, "expected gemm"}, unsupported);
  }
  expect_bad("awq-g16", config({{"quant_method", "awq"}, {"bits", 8}}), {"8 bits", "expected 4"},
             unsupported);
  const auto compressed = [&](const char* format, const Json& weights) {
    return config(
        {{"quant_method", "compressed-tensors"},
         {"format", format},
         {"config_groups", {{"group_0", {{"targets", {"Linear"}}, {"weights", weights}}}}}});
  };
  const Json int4 = {{"num_bits", 4}, {"type", "int"}, {"strategy", "channel"}};
  for (const char* format : {"nvfp4-pack-quantized", "mxfp4-pack-quantized", "marlin-24"}) {
    expect_bad("ct-mixed", compressed(format, int4), {"format", format, "pack-quantized"},
               unsupported);
  }
  expect_bad("ct-mixed", compressed("pack-quantized", changed(int4, "num_bits", 3)), {"3 bits"},
             unsupported);
  expect_bad("ct-mixed", compressed("pack-quantized", changed(int4, "strategy", "attn_head")),
             {"strategy", "attn_head"}, unsupported);
  expect_bad(
      "fp8-tensor", [](Folder& folder) { folder.tensor(kQ + "weight").type = "F8_E5M2"; },
      {"q_proj.weight", "F8_E5M2 is not supported"}, unsupported);
}

TEST(QuantizedErrors, MalformedConfigs) {
  const auto key = [](const char* name, const Json& value) {
    return [=](Folder& folder) { folder.quantization()[name] = value; };
  };
  expect_bad("gptq4-v1-asym", key("bits", "four"), {"quantization_config.bits", "\"four\""});
  expect_bad("gptq4-v1-asym", key("group_size", 0), {"group_size", "got 0"});
  expect_bad("gptq4-v1-asym", key("group_size", -2), {"group_size", "got -2"});
  expect_bad("gptq4-v1-asym", key("desc_act", 3), {"desc_act", "true or false"});
  expect_bad("fp8-blocks", key("weight_block_size", {128}), {"weight_block_size", "two sizes"});
  expect_bad("ct-mixed", key("ignore", 3), {"ignore", "a list of strings"});
  expect_bad("ct-mixed", key("config_groups", Json::object()), {"config_groups"});
  expect_bad("ct-mixed", key("ignore", {"re:("}), {"expression '('", "cannot compile"},
             ErrorCode::unsupported);
  expect_bad("ct-mixed", key("ignore", {"re:([a-z_.0-9]+)+(!|,)"}), {"matching", "failed"},
             ErrorCode::unsupported);
}

TEST(QuantizeConfigJson, StandsInForAKeyOfConfigJson) {
  Folder folder("gptq4-v1-asym");
  folder.config.erase("quantization_config");
  folder.load(R"({"bits": 4, "group_size": 16, "desc_act": false, "sym": false})");
  testing::expect_error(ErrorCode::unsupported, {"quantize_config.json", "bits", "2 bits"},
                        [&] { folder.load(R"({"bits": 2, "group_size": 16})"); });
}

}  // namespace
}  // namespace quern
