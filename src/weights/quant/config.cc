#include "weights/quant/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/error.h"
#include "weights/quant/config_keys.h"

namespace quern {
namespace quant {

void refuse(const JsonObject& object, std::string_view key, std::string_view value,
            std::string_view expected) {
  fail(ErrorCode::unsupported, "{}: key {}: {} is not supported, expected {}", object.file(),
       quoted_name(object.prefix() + std::string(key)), quoted_name(value), expected);
}

int read_bits(const JsonObject& object, std::string_view key, std::string_view expected) {
  const std::int64_t bits = object.required_integer(key, 1, 64);
  if (fmt::format("{}", bits) == expected) return static_cast<int>(bits);
  if (expected != "4 or 8" || (bits != 4 && bits != 8)) {
    refuse(object, key, fmt::format("{} bits", bits), expected);
  }
  return static_cast<int>(bits);
}

std::int64_t read_group_size(const JsonObject& object, std::string_view key, std::int64_t absent) {
  const std::int64_t size = object.integer(key, -1, kMaxGroup).value_or(absent);
  if (size == 0) object.reject(key, "-1 or a number of inputs");
  return std::max<std::int64_t>(size, 0);
}

std::vector<std::string> read_strings(const JsonObject& object, std::string_view key) {
  const Json* list = object.find(key);
  if (list == nullptr) return {};
  const auto is_string = [](const Json& item) { return item.is_string(); };
  if (!list->is_array() || !std::all_of(list->begin(), list->end(), is_string)) {
    object.reject(key, "a list of strings");
  }
  return list->get<std::vector<std::string>>();
}

}  // namespace quant

namespace {

std::string lower(std::string text) {
  for (char& c : text) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return text;
}

std::string_view first_key(const JsonObject& object, std::string_view key, std::string_view other) {
  return object.has(key) || !object.has(other) ? key : other;
}

/// The method by name, or, where there is none, by the keys that only one method has.
std::string read_method(const JsonObject& object) {
  if (auto method = object.string("quant_method")) return lower(*std::move(method));
  if (object.has("load_in_4bit") || object.has("load_in_8bit")) return "bitsandbytes";
  if (object.has("config_groups")) return "compressed-tensors";
  if (object.has("w_bit") || object.has("version")) return "awq";
  if (object.has("bits")) return "gptq";
  object.reject("quant_method", "a string");
}

}  // namespace

QuantizationConfig QuantizationConfig::parse(const JsonObject& object) {
  QuantizationConfig config;
  config.where_ = object.file();
  config.method_ = read_method(object);
  if (config.method_ == "gptq") {
    config.read_gptq(object);
  } else if (config.method_ == "awq") {
    config.read_awq(object);
  } else if (config.method_ == "compressed-tensors") {
    config.read_compressed_tensors(object);
  } else if (config.method_ == "fp8") {
    config.read_fp8(object);
  } else {
    quant::refuse(object, "quant_method", config.method_, "gptq, awq, compressed-tensors or fp8");
  }
  return config;
}

std::optional<QuantScheme> QuantizationConfig::scheme(std::string_view module) const {
  const auto matches = [&](const ModulePattern& pattern) { return pattern.matches(module); };
  if (std::ranges::any_of(excluded_, matches)) return std::nullopt;
  const Rule* best = nullptr;
  for (const Rule& rule : rules_) {
    const bool is_better = best == nullptr || rule.pattern.kind() < best->pattern.kind();
    if (is_better && rule.pattern.matches(module)) best = &rule;
  }
  return best == nullptr ? std::nullopt : best->scheme;
}

void QuantizationConfig::exclude(const JsonObject& object, std::string_view key) {
  for (const std::string& name : quant::read_strings(object, key)) {
    excluded_.push_back(ModulePattern::excluded(name));
  }
}

// Source: HF GPTQConfig; AutoGPTQ and gptqmodel quantize_config.json.
void QuantizationConfig::read_gptq(const JsonObject& object) {
  const std::string_view format_key = first_key(object, "checkpoint_format", "format");
  const std::string format = lower(object.string(format_key).value_or("gptq"));
  if (format != "gptq" && format != "gptq_v2") {
    quant::refuse(object, format_key, format, "gptq or gptq_v2");
  }
  if (object.boolean("is_marlin_format").value_or(false)) {
    quant::refuse(object, "is_marlin_format", "true", "false");
  }
  const std::string words = object.string("pack_dtype").value_or("int32");
  if (words != "int32") quant::refuse(object, "pack_dtype", words, "int32");
  const QuantScheme scheme{.layout = QuantLayout::gptq,
                           .bits = quant::read_bits(object, "bits"),
                           .group_size = quant::read_group_size(object, "group_size", 128),
                           .zeros_minus_one = format == "gptq"};
  object.boolean("sym");  // the zero points are stored all the same
  object.boolean("desc_act");
  read_dynamic(object, scheme);
  exclude(object, "modules_to_not_convert");
  rules_.push_back({ModulePattern::target("Linear", where_), scheme});
}

// Source: gptqmodel's QuantizeConfig.dynamic: "-:expression" leaves modules in float,
// "+:expression" or "expression" changes keys for them.
void QuantizationConfig::read_dynamic(const JsonObject& object, const QuantScheme& base) {
  const auto dynamic = object.object("dynamic");
  if (!dynamic) return;
  for (const auto& item : dynamic->json().items()) {
    std::string expression = item.key();
    const bool is_negative = expression.starts_with("-:");
    if (is_negative || expression.starts_with("+:")) expression.erase(0, 2);
    Rule rule{ModulePattern::expression(expression, where_), std::nullopt};
    if (!is_negative) {
      const JsonObject changes(item.value(), object.file(), item.key() + '.');
      rule.scheme = base;
      if (changes.has("bits")) rule.scheme->bits = quant::read_bits(changes, "bits");
      rule.scheme->group_size = quant::read_group_size(changes, "group_size",
                                                       base.group_size == 0 ? -1 : base.group_size);
    }
    rules_.push_back(std::move(rule));
  }
}

// Source: HF AwqConfig; AutoAWQ's quant_config.json.
void QuantizationConfig::read_awq(const JsonObject& object) {
  const std::string_view version_key = first_key(object, "version", "format");
  const std::string version = lower(object.string(version_key).value_or("gemm"));
  if (version != "gemm") quant::refuse(object, version_key, version, "gemm");
  const std::string backend = lower(object.string("backend").value_or("autoawq"));
  if (backend == "llm-awq") quant::refuse(object, "backend", backend, "autoawq");
  object.boolean("zero_point");  // the zero points are stored all the same
  const QuantScheme scheme{
      .layout = QuantLayout::awq,
      .bits = quant::read_bits(object, first_key(object, "bits", "w_bit"), "4"),
      .group_size =
          quant::read_group_size(object, first_key(object, "group_size", "q_group_size"), 128)};
  exclude(object, "modules_to_not_convert");
  rules_.push_back({ModulePattern::target("Linear", where_), scheme});
}

// Source: HF FineGrainedFP8Config.
void QuantizationConfig::read_fp8(const JsonObject& object) {
  const std::string format = lower(object.string("fmt").value_or("e4m3"));
  if (format != "e4m3" && format != "float8_e4m3fn") quant::refuse(object, "fmt", format, "e4m3");
  QuantScheme scheme{.layout = QuantLayout::elements,
                     .bits = 8,
                     .is_float = true,
                     .group_size = 0,
                     .group_rows = 0,
                     .scale = "weight_scale_inv",
                     .inputs = ActivationFormat{ActivationRounding::float8_e4m3}};
  if (object.has("weight_block_size")) {
    const auto block = object.required_integers("weight_block_size", 1, quant::kMaxGroup);
    if (block.size() != 2) object.reject("weight_block_size", "two sizes");
    scheme.group_rows = block[0];
    scheme.group_size = block[1];
    scheme.inputs->group_size = block[1];
  }
  if (lower(object.string("activation_scheme").value_or("dynamic")) != "dynamic") {
    scheme.inputs.reset();
  }
  exclude(object, "modules_to_not_convert");
  rules_.push_back({ModulePattern::target("Linear", where_), scheme});
}

}  // namespace quern
