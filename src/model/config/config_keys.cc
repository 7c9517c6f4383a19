#include "model/config/config_keys.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <string>

#include "base/error.h"

namespace quern {
namespace {

constexpr auto kMaxTokenId = std::numeric_limits<std::int32_t>::max();

struct NamedActivation {
  std::string_view name;
  Activation activation;
};

constexpr std::array kActivations = {
    NamedActivation{"silu", Activation::silu},
    NamedActivation{"swish", Activation::silu},
    NamedActivation{"gelu", Activation::gelu},
    NamedActivation{"gelu_python", Activation::gelu},
    // These compute the same function and differ in the last place.
    NamedActivation{"gelu_new", Activation::gelu_tanh},
    NamedActivation{"gelu_fast", Activation::gelu_tanh},
    NamedActivation{"gelu_accurate", Activation::gelu_tanh},
    NamedActivation{"gelu_pytorch_tanh", Activation::gelu_tanh},
    NamedActivation{"gelu_python_tanh", Activation::gelu_tanh},
    NamedActivation{"quick_gelu", Activation::quick_gelu},
    NamedActivation{"gelu_10", Activation::gelu_10},
    NamedActivation{"relu", Activation::relu},
    NamedActivation{"relu2", Activation::relu_squared},
    NamedActivation{"relu6", Activation::relu6},
    NamedActivation{"leaky_relu", Activation::leaky_relu},
    NamedActivation{"tanh", Activation::tanh},
    NamedActivation{"sigmoid", Activation::sigmoid},
    NamedActivation{"linear", Activation::none},
    NamedActivation{"mish", Activation::mish},
    NamedActivation{"hardswish", Activation::hardswish},
    NamedActivation{"laplace", Activation::laplace},
    NamedActivation{"sqrtsoftplus", Activation::sqrt_softplus},
};

struct NamedDType {
  std::string_view name;
  DType dtype;
};

/// Attributes of torch. float64 weights are read as float32.
constexpr std::array kDTypes = {
    NamedDType{"float32", DType::float32},   NamedDType{"float", DType::float32},
    NamedDType{"float64", DType::float32},   NamedDType{"double", DType::float32},
    NamedDType{"float16", DType::float16},   NamedDType{"half", DType::float16},
    NamedDType{"bfloat16", DType::bfloat16},
};

/// The integer that a JSON number is, or nothing.
std::optional<std::int64_t> integer_of(const Json& value) {
  constexpr double kExact = 9007199254740992.0;  // 2^53
  if (value.is_number_unsigned()) {
    const auto number = value.get<std::uint64_t>();
    return number <= std::uint64_t{INT64_MAX} ? std::optional(static_cast<std::int64_t>(number))
                                              : std::nullopt;
  }
  if (value.is_number_integer()) return value.get<std::int64_t>();
  if (!value.is_number_float()) return std::nullopt;
  const auto number = value.get<double>();
  if (!(std::abs(number) <= kExact) || number != std::floor(number)) return std::nullopt;
  return static_cast<std::int64_t>(number);
}

}  // namespace

std::string_view present_key(const JsonObject& object,
                             std::initializer_list<std::string_view> synonyms) {
  const auto* found = std::find_if(synonyms.begin(), synonyms.end(),
                                   [&](std::string_view key) { return object.has(key); });
  return found == synonyms.end() ? *synonyms.begin() : *found;
}

int read_size(const JsonObject& object, std::initializer_list<std::string_view> synonyms, int high,
              std::optional<int> absent) {
  const std::string_view key = present_key(object, synonyms);
  if (absent && !object.has(key)) return *absent;
  return static_cast<int>(object.required_integer(key, 1, high));
}

std::optional<int> read_optional_size(const JsonObject& object, std::string_view key, int high) {
  const auto size = object.integer(key, 1, high);
  return size ? std::optional(static_cast<int>(*size)) : std::nullopt;
}

int divided_head_dim(const JsonObject& object, std::string_view hidden_key,
                     const ModelConfig& config) {
  if (config.hidden_size % config.num_attention_heads != 0 ||
      config.hidden_size / config.num_attention_heads > kMaxHeadDim) {
    object.reject(hidden_key,
                  fmt::format("a multiple of num_attention_heads ({}), at most {} times",
                              config.num_attention_heads, kMaxHeadDim));
  }
  return config.hidden_size / config.num_attention_heads;
}

float read_epsilon(const JsonObject& object, std::string_view key, double absent) {
  constexpr double kSmallest = std::numeric_limits<float>::min();
  return static_cast<float>(object.number(key, kSmallest, 1.0).value_or(absent));
}

Activation read_activation(const JsonObject& object, std::string_view key, Activation absent) {
  const auto name = object.string(key);
  if (!name) return absent;
  for (const NamedActivation& known : kActivations) {
    if (known.name == *name) return known.activation;
  }
  std::vector<std::string_view> names;
  names.reserve(kActivations.size());
  for (const NamedActivation& known : kActivations) names.push_back(known.name);
  fail(ErrorCode::unsupported, "{}: key '{}': unknown activation {}, expected one of {}",
       object.file(), key, quoted_name(*name), fmt::join(names, ", "));
}

std::optional<DType> read_dtype(const JsonObject& object, std::string_view key) {
  auto name = object.string(key);
  if (!name || *name == "auto") return std::nullopt;
  constexpr std::string_view kModule = "torch.";
  const std::string_view bare =
      std::string_view(*name).substr(name->starts_with(kModule) ? kModule.size() : 0);
  for (const NamedDType& known : kDTypes) {
    if (known.name == bare) return known.dtype;
  }
  fail(ErrorCode::unsupported, "{}: key '{}': expected float32, float16 or bfloat16, got {}",
       object.file(), key, quoted_name(*name));
}

std::optional<std::int64_t> read_integer(const JsonObject& object, std::string_view key,
                                         std::int64_t low, std::int64_t high) {
  const Json* value = object.find(key);
  if (value == nullptr) return std::nullopt;
  const auto number = integer_of(*value);
  if (!number || *number < low || *number > high) {
    object.reject(key, fmt::format("an integer from {} to {}", low, high));
  }
  return number;
}

std::optional<std::int32_t> read_token_id(const JsonObject& object, std::string_view key) {
  const auto id = read_integer(object, key, -1, kMaxTokenId);
  return id && *id >= 0 ? std::optional(static_cast<std::int32_t>(*id)) : std::nullopt;
}

std::vector<std::int32_t> token_id_list(const JsonObject& object, std::string_view key,
                                        const Json& list) {
  if (!list.is_array()) object.reject(key, "a list of token ids");
  std::vector<std::int32_t> ids;
  for (const Json& value : list) {
    const auto id = integer_of(value);
    if (!id || *id < -1 || *id > kMaxTokenId) {
      object.reject(key, fmt::format("token ids from 0 to {}", kMaxTokenId));
    }
    if (*id >= 0) ids.push_back(static_cast<std::int32_t>(*id));
  }
  return ids;
}

std::vector<std::int32_t> read_token_ids(const JsonObject& object, std::string_view key) {
  const Json* value = object.find(key);
  if (value != nullptr && value->is_array()) return token_id_list(object, key, *value);
  const auto id = read_token_id(object, key);
  return id ? std::vector{*id} : std::vector<std::int32_t>{};
}

void require_setting(const JsonObject& object, std::string_view key, bool supported) {
  if (object.boolean(key).value_or(supported) == supported) return;
  fail(ErrorCode::unsupported, "{}: key '{}': {} is not supported, expected {}", object.file(), key,
       !supported, supported);
}

void refuse_key(const JsonObject& object, std::string_view key, std::string_view reason) {
  if (!object.has(key)) return;
  fail(ErrorCode::unsupported, "{}: key '{}': {}", object.file(), key, reason);
}

}  // namespace quern
