#include "tools/chat/settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <vector>

#include "quern/text.h"
#include "tools/cli/numbers.h"
#include "tools/cli/parsing/nearest_name.h"
#include "tools/cli/usage_error.h"

namespace quern::tools {
namespace {

using Place = std::string;

/// A setting: how it is read, and how it is shown.
struct Setting {
  std::string_view name;
  void (*assign)(Request& request, const Place& place, const std::optional<std::string>& value);
  std::string (*show)(const Request& request);
};

template <typename Number>
std::string shown(const std::optional<Number>& value) {
  return value ? fmt::format("{}", *value) : "default";
}

/// A value that is sampled with ends greedy decoding, as one of the command line does.
void allow_sampling(SamplingParams& sampling, bool has_value) {
  if (!has_value) return;
  sampling.greedy = false;
  if (sampling.temperature == 0.0F) sampling.temperature.reset();
}

template <auto Member, const NumberRange& Range, bool Samples>
constexpr Setting number_setting(std::string_view name) {
  return {name,
          [](Request& request, const Place& place, const std::optional<std::string>& value) {
            const auto number =
                value ? std::optional(parse_float(place, *value, Range)) : std::nullopt;
            if (Samples) allow_sampling(request.sampling, number.has_value());
            request.sampling.*Member = number;
          },
          [](const Request& request) { return shown(request.sampling.*Member); }};
}

template <auto Member, bool Samples>
constexpr Setting count_setting(std::string_view name) {
  return {name,
          [](Request& request, const Place& place, const std::optional<std::string>& value) {
            const auto count =
                value ? std::optional(parse_integer(place, *value, 0)) : std::nullopt;
            if (Samples) allow_sampling(request.sampling, count.has_value());
            request.sampling.*Member = count;
          },
          [](const Request& request) { return shown(request.sampling.*Member); }};
}

void assign_seed(Request& request, const Place& place, const std::optional<std::string>& value) {
  request.sampling.seed = value ? std::optional(parse_unsigned(place, *value)) : std::nullopt;
}

void assign_limit(Request& request, const Place& place, const std::optional<std::string>& value) {
  request.max_new_tokens = value ? std::optional(parse_integer(place, *value, 1)) : std::nullopt;
}

constexpr std::array<Setting, 17> kSettings = {
    {number_setting<&SamplingParams::temperature, kTemperatureRange, true>("temperature"),
     count_setting<&SamplingParams::top_k, true>("top_k"),
     number_setting<&SamplingParams::top_p, kTopPRange, true>("top_p"),
     number_setting<&SamplingParams::min_p, kMinPRange, true>("min_p"),
     number_setting<&SamplingParams::top_n_sigma, kNotNegativeRange, true>("top_n_sigma"),
     number_setting<&SamplingParams::typical_p, kTopPRange, true>("typical_p"),
     number_setting<&SamplingParams::epsilon_cutoff, kCutoffRange, true>("epsilon_cutoff"),
     number_setting<&SamplingParams::eta_cutoff, kCutoffRange, true>("eta_cutoff"),
     number_setting<&SamplingParams::xtc_probability, kMinPRange, true>("xtc_probability"),
     number_setting<&SamplingParams::xtc_threshold, kMinPRange, false>("xtc_threshold"),
     number_setting<&SamplingParams::repetition_penalty, kPositiveRange, false>(
         "repetition_penalty"),
     number_setting<&SamplingParams::presence_penalty, kFiniteRange, false>("presence_penalty"),
     number_setting<&SamplingParams::frequency_penalty, kFiniteRange, false>("frequency_penalty"),
     number_setting<&SamplingParams::dry_multiplier, kNotNegativeRange, false>("dry_multiplier"),
     count_setting<&SamplingParams::no_repeat_ngram_size, false>("no_repeat_ngram_size"),
     {"seed", assign_seed, [](const Request& r) { return shown(r.sampling.seed); }},
     {"max_new_tokens", assign_limit, [](const Request& r) { return shown(r.max_new_tokens); }}}};

}  // namespace

void set_setting(Request& request, std::string_view name, const std::string& value) {
  std::string wanted(name);
  std::ranges::replace(wanted, '-', '_');
  for (const Setting& setting : kSettings) {
    if (setting.name != wanted) continue;
    setting.assign(request, "/set " + wanted,
                   value == "default" ? std::nullopt : std::optional(value));
    return;
  }
  usage_error("/set: expected one of {}, got {}", setting_names(), quoted_name(name));
}

std::string settings_text(const Request& resolved) {
  std::string text;
  for (const Setting& setting : kSettings) {
    text += fmt::format("{:<21} {}\n", setting.name, setting.show(resolved));
  }
  return text;
}

std::string setting_names() {
  std::vector<std::string_view> names;
  names.reserve(std::size(kSettings));
  for (const Setting& setting : kSettings) names.push_back(setting.name);
  return fmt::format("{}", fmt::join(names, ", "));
}

}  // namespace quern::tools
