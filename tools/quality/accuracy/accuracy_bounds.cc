#include "tools/quality/accuracy/accuracy_bounds.h"

#include <algorithm>
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

constexpr std::array<std::string_view, 10> kTested = {"float32", "float16", "bfloat16", "int8",
                                                      "int4",    "fp8",     "w8a8",     "kv_int8",
                                                      "kv_fp8",  "kv_k16v8"};
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

/// The one that is set, or where both are what `choose` makes of them.
template <typename T, typename Choose>
std::optional<T> either(const std::optional<T>& a, const std::optional<T>& b,
                        const Choose& choose) {
  if (!a || !b) return a ? a : b;
  return choose(*a, *b);
}

AccuracyBounds looser(const AccuracyBounds& a, const AccuracyBounds& b) {
  const auto larger = [](float x, float y) { return std::max(x, y); };
  const auto smaller = [](float x, float y) { return std::min(x, y); };
  const auto larger_nmse = [](const NmseBounds& x, const NmseBounds& y) {
    return NmseBounds{std::max(x.attention, y.attention), std::max(x.other, y.other)};
  };
  return {either(a.lock_step_nmse, b.lock_step_nmse, larger_nmse),
          either(a.free_running_nmse, b.free_running_nmse, larger_nmse),
          either(a.max_perplexity_increase, b.max_perplexity_increase, larger),
          either(a.max_kl, b.max_kl, larger),
          either(a.min_top1_agreement, b.min_top1_agreement, smaller),
          either(a.max_rouge_drop, b.max_rouge_drop, larger),
          either(a.rouge1_threshold, b.rouge1_threshold, smaller)};
}

}  // namespace

AccuracyBounds read_accuracy_bounds(const std::string& file, std::string_view tested,
                                    KvCacheDType kv_cache_dtype) {
  const std::string kv_key = std::string("kv_") + kv_cache_dtype_name(kv_cache_dtype);
  const std::string name = file.empty() ? "built-in bounds" : input_name(file);
  const JsonRecord all =
      JsonRecord::parse(file.empty() ? kDefaultBoundsJson : read_utf8_file(file), name);
  all.require_only(kTested);
  std::optional<AccuracyBounds> found;
  std::optional<AccuracyBounds> of_kv_cache;
  for (const std::string_view key : kTested) {
    const auto object = all.object(key);
    if (!object) continue;
    const AccuracyBounds bounds = bounds_of(*object);
    if (key == tested) found = bounds;
    if (key == kv_key) of_kv_cache = bounds;
  }
  if (!found) all.reject(tested, "bounds for what is tested");
  if (kv_cache_dtype == KvCacheDType::automatic) return *found;
  if (!of_kv_cache) all.reject(kv_key, "bounds for the tested KV cache");
  return looser(*found, *of_kv_cache);
}

}  // namespace quern::tools
