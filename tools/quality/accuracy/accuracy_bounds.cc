#include "tools/quality/accuracy/accuracy_bounds.h"

#include <array>
#include <limits>
#include <string_view>

#include "quern/json.h"
#include "tools/input/text_input.h"
#include "tools/quality/accuracy/default_bounds_json.h"

namespace quern::tools {
namespace {

constexpr double kAny = std::numeric_limits<float>::max();
constexpr double kHundred = 100;

constexpr std::array<std::string_view, 7> kTested = {"float32", "float16", "bfloat16", "int8",
                                                     "int4",    "fp8",     "w8a8"};
constexpr std::array<std::string_view, 2> kNmseKeys = {"attention", "other"};
constexpr std::array<std::string_view, 7> kBoundKeys = {
    "lock_step_nmse",     "free_running_nmse", "max_perplexity_increase", "max_kl",
    "min_top1_agreement", "max_rouge_drop",    "rouge1_threshold"};

std::optional<NmseBounds> nmse_bounds(const JsonRecord& bounds, const char* key) {
  const auto object = bounds.object(key);
  if (!object) return std::nullopt;
  object->require_only(kNmseKeys);
  return NmseBounds{object->required_number("attention", 0, kAny),
                    object->required_number("other", 0, kAny)};
}

std::optional<float> float_bound(const JsonRecord& bounds, const char* key, double low,
                                 double high) {
  const auto number = bounds.number(key, low, high);
  return number ? std::optional(static_cast<float>(*number)) : std::nullopt;
}

AccuracyBounds bounds_of(const JsonRecord& bounds) {
  bounds.require_only(kBoundKeys);
  return {nmse_bounds(bounds, "lock_step_nmse"),
          nmse_bounds(bounds, "free_running_nmse"),
          float_bound(bounds, "max_perplexity_increase", -kHundred, kAny),
          float_bound(bounds, "max_kl", 0, kAny),
          float_bound(bounds, "min_top1_agreement", 0, kHundred),
          float_bound(bounds, "max_rouge_drop", 0, kHundred),
          float_bound(bounds, "rouge1_threshold", 0, kHundred)};
}

}  // namespace

AccuracyBounds read_accuracy_bounds(const std::string& file, std::string_view tested) {
  const std::string name = file.empty() ? "built-in bounds" : input_name(file);
  const JsonRecord all =
      JsonRecord::parse(file.empty() ? kDefaultBoundsJson : read_utf8_file(file), name);
  all.require_only(kTested);
  std::optional<AccuracyBounds> found;
  for (const std::string_view key : kTested) {
    const auto object = all.object(key);
    if (!object) continue;
    const AccuracyBounds bounds = bounds_of(*object);
    if (key == tested) found = bounds;
  }
  if (!found) all.reject(tested, "bounds for what is tested");
  return *found;
}

}  // namespace quern::tools
