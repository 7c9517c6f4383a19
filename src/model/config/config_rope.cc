#include "model/config/config_rope.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/log.h"
#include "model/config/config_keys.h"

namespace quern {
namespace {

constexpr double kMinTheta = 1.0 + 1e-6;
constexpr double kMaxTheta = 1e15;
constexpr double kMaxFactor = 1e6;
constexpr double kSmallest = 1e-6;

struct NamedRopeType {
  std::string_view name;
  RopeType type;
};

constexpr std::array kRopeTypes = {
    NamedRopeType{"default", RopeType::standard}, NamedRopeType{"linear", RopeType::linear},
    NamedRopeType{"dynamic", RopeType::dynamic},  NamedRopeType{"llama3", RopeType::llama3},
    NamedRopeType{"yarn", RopeType::yarn},        NamedRopeType{"longrope", RopeType::longrope},
};

/// Keys of the section that we read, or that Hugging Face ignores.
constexpr auto kKnownKeys = std::to_array<std::string_view>(
    {"rope_type", "type", "rope_theta", "factor", "original_max_position_embeddings",
     "low_freq_factor", "high_freq_factor", "beta_fast", "beta_slow", "attention_factor", "mscale",
     "mscale_all_dim", "truncate", "short_factor", "long_factor", "partial_rotary_factor",
     "finetuned"});

/// The object that describes the rope, and the name it goes by.
struct RopeSection {
  JsonObject object;
  std::string_view name;
};

/// rope_scaling goes before rope_parameters, unless it is empty.
RopeSection find_section(const JsonObject& object, const Json& empty) {
  const auto scaling = object.object("rope_scaling");
  if (scaling && !scaling->json().empty()) return {*scaling, "rope_scaling"};
  const auto parameters = object.object("rope_parameters");
  if (parameters) return {*parameters, "rope_parameters"};
  return {JsonObject(empty, object.file()), "rope_scaling"};
}

/// What no rope of ours reads Hugging Face ignores too, unless it is a section of its own, for some
/// kind of layers or rotation.
void check_unknown_keys(const RopeSection& section) {
  for (const auto& [key, value] : section.object.json().items()) {
    if (std::find(kKnownKeys.begin(), kKnownKeys.end(), key) != kKnownKeys.end()) continue;
    if (value.is_structured()) {
      fail(ErrorCode::unsupported, "{}: key '{}': {} is not supported, expected one of {}",
           section.object.file(), section.name, quoted_name(key), fmt::join(kKnownKeys, ", "));
    }
    log(LogLevel::warning, "{}: key '{}.{}' is unknown and has no effect", section.object.file(),
        section.name, key);
  }
}

RopeType read_rope_type(const RopeSection& section) {
  const std::string_view key = present_key(section.object, {"rope_type", "type"});
  const std::string name = section.object.string(key).value_or("default");
  std::vector<std::string_view> names;
  for (const NamedRopeType& known : kRopeTypes) {
    if (known.name == name) return known.type;
    names.push_back(known.name);
  }
  fail(ErrorCode::unsupported, "{}: key '{}.{}': unknown rope type {}, expected one of {}",
       section.object.file(), section.name, key, quoted_name(name), fmt::join(names, ", "));
}

void read_llama3(const JsonObject& section, Rope& rope) {
  rope.low_freq_factor = section.required_number("low_freq_factor", kSmallest, kMaxFactor);
  rope.high_freq_factor = section.required_number("high_freq_factor", kSmallest, kMaxFactor);
}

/// YaRN's attention temperature for a context stretched by `factor`.
double yarn_mscale(double factor, double mscale) {
  return factor <= 1.0 ? 1.0 : 0.1 * mscale * std::log(factor) + 1.0;
}

/// The key's number where it is there and not 0.
double number_or(const JsonObject& section, std::string_view key, double absent) {
  const double number = section.number(key, 0.0, kMaxFactor).value_or(0.0);
  return number == 0.0 ? absent : number;
}

void read_yarn(const JsonObject& section, Rope& rope) {
  rope.beta_fast = number_or(section, "beta_fast", rope.beta_fast);
  rope.beta_slow = number_or(section, "beta_slow", rope.beta_slow);
  rope.truncate = section.boolean("truncate").value_or(true);

  const double mscale = section.number("mscale", 0.0, kMaxFactor).value_or(0.0);
  const double mscale_all_dim = section.number("mscale_all_dim", 0.0, kMaxFactor).value_or(0.0);
  const double default_factor =
      mscale != 0.0 && mscale_all_dim != 0.0
          ? yarn_mscale(rope.factor, mscale) / yarn_mscale(rope.factor, mscale_all_dim)
          : yarn_mscale(rope.factor, 1.0);
  rope.attention_factor =
      section.number("attention_factor", kSmallest, kMaxFactor).value_or(default_factor);
}

/// One of longrope's lists: a number for each pair of elements.
auto read_factors(const JsonObject& section, std::string_view key, int num_pairs) {
  const Json* list = section.find(key);
  const std::string expected =
      fmt::format("a list of {} positive numbers, half of the rotary dimension", num_pairs);
  if (list == nullptr || !list->is_array() || std::cmp_not_equal(list->size(), num_pairs)) {
    section.reject(key, expected);
  }
  std::array<float, kMaxLongropePairs> factors{};
  if (list->size() > factors.size()) {
    fail(ErrorCode::unsupported, "{}: key '{}': {} factors, expected at most {}", section.file(),
         key, list->size(), factors.size());
  }
  auto place = factors.begin();
  for (const Json& item : *list) {
    const double factor = item.is_number() ? item.get<double>() : 0.0;
    if (!(factor >= kSmallest && factor <= kMaxFactor)) section.reject(key, expected);
    *place++ = static_cast<float>(factor);
  }
  return factors;
}

void read_longrope(const JsonObject& section, Rope& rope) {
  rope.short_factors = read_factors(section, "short_factor", rope.rotary_dim / 2);
  rope.long_factors = read_factors(section, "long_factor", rope.rotary_dim / 2);
  const double default_factor =
      rope.factor <= 1.0 || rope.original_max_position < 2
          ? 1.0
          : std::sqrt(1.0 + std::log(rope.factor) / std::log(rope.original_max_position));
  rope.attention_factor =
      section.number("attention_factor", kSmallest, kMaxFactor).value_or(default_factor);
}

double read_factor(const JsonObject& section, const Rope& rope, const ModelConfig& config) {
  const bool may_be_absent = rope.type == RopeType::yarn || rope.type == RopeType::longrope;
  if (may_be_absent && !section.has("factor")) {
    return static_cast<double>(config.max_position_embeddings) / rope.original_max_position;
  }
  return section.required_number("factor", kSmallest, kMaxFactor);
}

/// Attention would rotate only a part of each head; Hugging Face's classes cannot do it either. The
/// default rope does not look at the key.
void check_partial_rotary_factor(const JsonObject& section, const JsonObject& object,
                                 const Rope& rope, const ModelConfig& config) {
  for (const JsonObject& place : {section, object}) {
    if (place.number("partial_rotary_factor", 0.0, 1.0).value_or(1.0) == 1.0) continue;
    if (rope.type != RopeType::standard) {
      fail(ErrorCode::unsupported, "{}: key 'partial_rotary_factor': only 1 is supported for {}",
           object.file(), config.model_type);
    }
    log(LogLevel::warning,
        "{}: key 'partial_rotary_factor' has no effect on the default rope of {}", object.file(),
        config.model_type);
  }
}

}  // namespace

Rope read_rope(const JsonObject& object, const ModelConfig& config) {
  const Json empty = Json::object();
  const RopeSection found = find_section(object, empty);
  const JsonObject& section = found.object;
  check_unknown_keys(found);

  Rope rope;
  rope.type = read_rope_type(found);
  rope.rotary_dim = config.head_dim;
  check_partial_rotary_factor(section, object, rope, config);
  const JsonObject& theta_place = section.has("rope_theta") ? section : object;
  rope.theta = theta_place.number("rope_theta", kMinTheta, kMaxTheta).value_or(rope.theta);
  check_rotary_dim(object, present_key(object, {"head_dim", "hidden_size"}), rope);
  if (rope.type == RopeType::standard) return rope;

  if (rope.type != RopeType::linear) rope.original_max_position = config.max_position_embeddings;
  if (rope.type == RopeType::llama3 || rope.type == RopeType::yarn ||
      rope.type == RopeType::longrope) {
    constexpr std::string_view kTrainedLength = "original_max_position_embeddings";
    const JsonObject& place = object.has(kTrainedLength) ? object : section;
    const auto trained_length = read_optional_size(place, kTrainedLength, kMaxPositions);
    rope.original_max_position = trained_length.value_or(rope.original_max_position);
  }
  rope.factor = read_factor(section, rope, config);
  if (rope.type == RopeType::llama3) read_llama3(section, rope);
  if (rope.type == RopeType::yarn) read_yarn(section, rope);
  if (rope.type == RopeType::longrope) read_longrope(section, rope);
  return rope;
}

std::int64_t defined_context(const ModelConfig& config) {
  const std::int64_t trained = config.max_position_embeddings;
  if (!config.rope) return trained;
  const Rope& rope = *config.rope;
  switch (rope.type) {
    case RopeType::standard:
    case RopeType::qwen_ntk:
      return trained;
    case RopeType::dynamic:
    case RopeType::linear:
      return std::max(trained,
                      static_cast<std::int64_t>(rope.factor * config.max_position_embeddings));
    case RopeType::llama3:
    case RopeType::yarn:
    case RopeType::longrope:
      return std::max(trained, static_cast<std::int64_t>(rope.factor * rope.original_max_position));
  }
  return trained;
}

bool extends_context(const ModelConfig& config) {
  return config.rope &&
         (config.rope->type == RopeType::dynamic || config.rope->type == RopeType::qwen_ntk);
}

void check_rotary_dim(const JsonObject& object, std::string_view key, const Rope& rope) {
  const bool grows = rope.type == RopeType::dynamic || rope.type == RopeType::qwen_ntk;
  if (rope.rotary_dim % 2 != 0 || rope.rotary_dim < (grows ? 4 : 2)) {
    object.reject(key, fmt::format("an even rotary dimension of at least {} (it is {})",
                                   grows ? 4 : 2, rope.rotary_dim));
  }
}

}  // namespace quern
