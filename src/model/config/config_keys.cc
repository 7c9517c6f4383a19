#include "model/config/config_keys.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
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
    NamedActivation{"gelu_new", Activation::gelu_tanh},
    NamedActivation{"gelu_pytorch_tanh", Activation::gelu_tanh},
    NamedActivation{"gelu_python_tanh", Activation::gelu_tanh},
    NamedActivation{"relu", Activation::relu},
};

}  // namespace

std::string_view present_key(const JsonObject& object,
                             std::initializer_list<std::string_view> synonyms) {
  const auto* found = std::find_if(synonyms.begin(), synonyms.end(),
                                   [&](std::string_view key) { return object.has(key); });
  return found == synonyms.end() ? *synonyms.begin() : *found;
}

int read_size(const JsonObject& object, std::initializer_list<std::string_view> synonyms,
              int high) {
  return static_cast<int>(object.required_integer(present_key(object, synonyms), 1, high));
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

float read_epsilon(const JsonObject& object, std::string_view key) {
  constexpr double kSmallest = std::numeric_limits<float>::min();
  return static_cast<float>(object.required_number(key, kSmallest, 1.0));
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
  const auto name = object.string(key);
  if (!name) return std::nullopt;
  const auto dtype = parse_float_dtype(*name);
  if (!dtype) {
    fail(ErrorCode::unsupported, "{}: key '{}': expected float32, float16 or bfloat16, got {}",
         object.file(), key, quoted_name(*name));
  }
  return dtype;
}

std::optional<std::int32_t> read_token_id(const JsonObject& object, std::string_view key) {
  const auto id = object.integer(key, -1, kMaxTokenId);
  return id && *id >= 0 ? std::optional(static_cast<std::int32_t>(*id)) : std::nullopt;
}

std::vector<std::int32_t> read_token_ids(const JsonObject& object, std::string_view key) {
  const Json* value = object.find(key);
  if (value == nullptr) return {};
  if (value->is_array()) {
    const auto ids = object.required_integers(key, 0, kMaxTokenId);
    return {ids.begin(), ids.end()};
  }
  return {static_cast<std::int32_t>(object.required_integer(key, 0, kMaxTokenId))};
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
