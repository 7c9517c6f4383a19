#include "model/config/config_rope.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <vector>

#include "base/error.h"
#include "model/config/config_keys.h"

namespace quern {
namespace {

constexpr double kMinTheta = 2.0;
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
    NamedRopeType{"yarn", RopeType::yarn},
};

/// Keys of the section that we read, or that Hugging Face ignores.
constexpr auto kKnownKeys = std::to_array<std::string_view>(
    {"rope_type", "type", "rope_theta", "factor", "original_max_position_embeddings",
     "low_freq_factor", "high_freq_factor", "beta_fast", "beta_slow", "attention_factor", "mscale",
     "mscale_all_dim", "truncate", "partial_rotary_factor", "finetuned"});

/// The object that describes the rope, and the name it goes by.
struct RopeSection {
  JsonObject object;
  std::string_view name;
};

RopeSection find_section(const JsonObject& object, const Json& empty) {
  const auto scaling = object.object("rope_scaling");
  const auto parameters = object.object("rope_parameters");
  if (scaling && parameters && scaling->json() != parameters->json()) {
    object.reject("rope_scaling", "the same as 'rope_parameters'");
  }
  if (parameters) return {*parameters, "rope_parameters"};
  if (scaling) return {*scaling, "rope_scaling"};
  return {JsonObject(empty, object.file()), "rope_scaling"};
}

void refuse_unknown_keys(const RopeSection& section) {
  for (const auto& [key, value] : section.object.json().items()) {
    if (std::find(kKnownKeys.begin(), kKnownKeys.end(), key) != kKnownKeys.end()) continue;
    fail(ErrorCode::unsupported, "{}: key '{}': {} is not supported, expected one of {}",
         section.object.file(), section.name, quoted_name(key), fmt::join(kKnownKeys, ", "));
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
  if (rope.high_freq_factor <= rope.low_freq_factor) {
    section.reject("high_freq_factor", "more than low_freq_factor");
  }
}

/// YaRN's attention temperature for a context stretched by `factor`.
double yarn_mscale(double factor, double mscale) {
  return factor <= 1.0 ? 1.0 : 0.1 * mscale * std::log(factor) + 1.0;
}

void read_yarn(const JsonObject& section, Rope& rope) {
  rope.beta_fast = section.number("beta_fast", kSmallest, kMaxFactor).value_or(rope.beta_fast);
  rope.beta_slow = section.number("beta_slow", kSmallest, kMaxFactor).value_or(rope.beta_slow);
  if (rope.beta_fast < rope.beta_slow) section.reject("beta_fast", "at least beta_slow");
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

double read_factor(const JsonObject& section, const Rope& rope, const ModelConfig& config) {
  if (rope.type == RopeType::yarn && !section.has("factor")) {
    const double ratio =
        static_cast<double>(config.max_position_embeddings) / rope.original_max_position;
    if (ratio >= 1.0) return ratio;
  }
  return section.required_number("factor", 1.0, kMaxFactor);
}

}  // namespace

Rope read_rope(const JsonObject& object, const ModelConfig& config) {
  const Json empty = Json::object();
  const RopeSection found = find_section(object, empty);
  const JsonObject& section = found.object;
  refuse_unknown_keys(found);

  Rope rope;
  rope.type = read_rope_type(found);
  rope.rotary_dim = config.head_dim;
  for (const JsonObject& place : {section, object}) {
    // Attention would rotate only a part of each head; Hugging Face's classes cannot do it either.
    if (place.number("partial_rotary_factor", 0.0, 1.0).value_or(1.0) != 1.0) {
      fail(ErrorCode::unsupported, "{}: key 'partial_rotary_factor': only 1 is supported for {}",
           object.file(), config.model_type);
    }
  }
  const JsonObject& theta_place = section.has("rope_theta") ? section : object;
  rope.theta = theta_place.number("rope_theta", kMinTheta, kMaxTheta).value_or(rope.theta);
  check_rotary_dim(object, present_key(object, {"head_dim", "hidden_size"}), rope);
  if (rope.type == RopeType::standard) return rope;

  if (rope.type != RopeType::linear) rope.original_max_position = config.max_position_embeddings;
  if (rope.type == RopeType::llama3 || rope.type == RopeType::yarn) {
    constexpr std::string_view kTrainedLength = "original_max_position_embeddings";
    const JsonObject& place = object.has(kTrainedLength) ? object : section;
    const auto trained_length = read_optional_size(place, kTrainedLength, kMaxPositions);
    rope.original_max_position = trained_length.value_or(rope.original_max_position);
  }
  rope.factor = read_factor(section, rope, config);
  if (rope.type == RopeType::llama3) read_llama3(section, rope);
  if (rope.type == RopeType::yarn) read_yarn(section, rope);
  return rope;
}

void check_rotary_dim(const JsonObject& object, std::string_view key, const Rope& rope) {
  const bool grows = rope.type == RopeType::dynamic || rope.type == RopeType::qwen_ntk;
  if (rope.rotary_dim % 2 != 0 || rope.rotary_dim < (grows ? 4 : 2)) {
    object.reject(key, fmt::format("an even rotary dimension of at least {} (it is {})",
                                   grows ? 4 : 2, rope.rotary_dim));
  }
}

}  // namespace quern
