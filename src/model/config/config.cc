#include "model/config/config.h"

#include "io/open_file.h"
#include "model/config/config_keys.h"
#include "model/registry.h"

namespace quern {
namespace {

/// The file of older GPTQ and AWQ folders whose config.json says nothing about it.
std::optional<QuantizationConfig> read_quantize_config(const std::filesystem::path& folder) {
  for (const char* name : {"quantize_config.json", "quant_config.json"}) {
    const std::filesystem::path path = folder / name;
    if (!is_listed(path)) continue;
    const Json json = read_json(path);
    auto config = QuantizationConfig::parse(JsonObject(json, path.string()));
    config.make_optional();
    return config;
  }
  return std::nullopt;
}

}  // namespace

ModelConfig load_model_config(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / "config.json";
  ModelConfig config = parse_model_config(read_json(path), path.string());
  if (!config.quantization) config.quantization = read_quantize_config(folder);
  return config;
}

ModelConfig parse_model_config(const Json& json, const std::string& source) {
  const JsonObject object(json, source);
  const ModelFamily& family = find_family(object);
  require_setting(object, "is_encoder_decoder", false);

  ModelConfig config;
  config.model_type = family.model_type;
  config.architecture = read_architecture(object);
  family.read_config(object, config);
  if (config.layer_windows.empty()) {
    config.layer_windows.assign(static_cast<std::size_t>(config.num_hidden_layers), 0);
  }
  const auto dtype = read_dtype(object, present_key(object, {"dtype", "torch_dtype"}));
  if (dtype) config.dtype = dtype;
  const auto quantization =
      object.object(present_key(object, {"quantization_config", "compression_config"}));
  if (quantization) config.quantization = QuantizationConfig::parse(*quantization);
  // null takes away what the family has by default.
  if (object.json().contains("bos_token_id")) {
    config.bos_token_id = read_token_id(object, "bos_token_id");
  }
  if (object.json().contains("eos_token_id")) {
    config.eos_token_ids = read_token_ids(object, "eos_token_id");
  }
  return config;
}

}  // namespace quern
