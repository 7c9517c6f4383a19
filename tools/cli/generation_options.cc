#include "tools/cli/generation_options.h"

#include <CLI/CLI.hpp>

#include "quern/limits.h"
#include "quern/text.h"
#include "tools/cli/option_group.h"
#include "tools/cli/usage_error.h"

namespace quern::tools {
namespace {

struct SamplingSwitches {
  const CLI::Option* greedy = nullptr;
  const CLI::Option* temperature = nullptr;
  std::vector<const CLI::Option*> filters;
};

/// Returns those that turn sampling on.
std::vector<const CLI::Option*> add_rarer_filters(OptionGroup& group, SamplingParams& sampling) {
  std::vector<const CLI::Option*> filters = {
      group.number({"--top-n-sigma", "N",
                    "Keep logits within N standard deviations of the best one; 0: all"},
                   sampling.top_n_sigma, kNotNegativeRange),
      group.number({"--typical-p", "P",
                    "Keep the tokens nearest to the entropy that together have this probability"},
                   sampling.typical_p, kTopPRange),
      group.number({"--epsilon-cutoff", "P", "Drop tokens below this probability"},
                   sampling.epsilon_cutoff, kCutoffRange),
      group.number({"--eta-cutoff", "P", "The same, for less where the entropy is high"},
                   sampling.eta_cutoff, kCutoffRange),
      group.number({"--xtc-probability", "P",
                    "With this probability drop all tokens above --xtc-threshold but the last"},
                   sampling.xtc_probability, kMinPRange)};
  group.number({"--xtc-threshold", "P", "Of --xtc-probability (default: 0.1)"},
               sampling.xtc_threshold, kMinPRange);
  return filters;
}

SamplingSwitches add_sampling(CLI::App& app, SamplingParams& sampling,
                              const GenerationDefaults& defaults) {
  OptionGroup group(app, fmt::format("Sampling (default: {})", defaults.sampling));
  SamplingSwitches switches;
  switches.greedy = group.flag("--greedy", sampling.greedy,
                               "Always the best token; generation_config.json does not apply");
  switches.temperature =
      group.number({"--temperature", "T", "Divide the logits by this; 0 is the same as --greedy"},
                   sampling.temperature, kTemperatureRange);
  switches.filters = {
      group.integer({"--top-k", "K", "Keep the K best tokens; 0: all"}, sampling.top_k, 0),
      group.number({"--top-p", "P", "Keep the best tokens that together have this probability"},
                   sampling.top_p, kTopPRange),
      group.number({"--min-p", "P", "Drop tokens below P times the best one's probability"},
                   sampling.min_p, kMinPRange)};
  for (const CLI::Option* filter : add_rarer_filters(group, sampling)) {
    switches.filters.push_back(filter);
  }
  group.value({"--seed", "N", "Same seed, same text (default: a random one, which is printed)"},
              [&sampling](const std::string& option, const std::string& value) {
                sampling.seed = parse_unsigned(option, value);
              });
  return switches;
}

void add_dry(OptionGroup& group, SamplingParams& sampling) {
  group.number({"--dry-multiplier", "X",
                "DRY: penalize what makes a repetition longer by X · BASE ^ (its length - LENGTH)"},
               sampling.dry_multiplier, kNotNegativeRange);
  group.number({"--dry-base", "BASE", "Of --dry-multiplier (default: 1.75)"}, sampling.dry_base,
               kFromOneRange);
  group.integer({"--dry-allowed-length", "LENGTH", "Tokens that may be repeated (default: 2)"},
                sampling.dry_allowed_length, 1);
  group.integer({"--dry-range", "N", "Only the last N tokens count; 0: all (default)"},
                sampling.dry_range, 0);
  group.values({"--dry-sequence-breaker", "TEXT",
                "A repetition ends at TEXT (default: newline, colon, quote, asterisk); \\n, \\t, "
                "\\\\ are escapes; may be repeated"},
               [&sampling](const std::string& option, const std::string& value) {
                 if (!sampling.dry_sequence_breakers) sampling.dry_sequence_breakers.emplace();
                 sampling.dry_sequence_breakers->push_back(parse_stop(option, value));
               });
}

void add_penalties(CLI::App& app, SamplingParams& sampling) {
  OptionGroup group(app, "Penalties");
  group.number({"--repetition-penalty", "X", "Over prompt and generated tokens; 1: off"},
               sampling.repetition_penalty, kPositiveRange);
  group.number({"--presence-penalty", "X", "Over generated tokens; 0: off"},
               sampling.presence_penalty, kFiniteRange);
  group.number({"--frequency-penalty", "X", "Over generated tokens, times their count; 0: off"},
               sampling.frequency_penalty, kFiniteRange);
  group.integer({"--no-repeat-ngram-size", "N", "No N tokens in a row occur twice; 0: off"},
                sampling.no_repeat_ngram_size, 0);
  add_dry(group, sampling);
  group.values({"--logit-bias", "ID=VALUE", "Add VALUE to the logit of token ID; may be repeated"},
               [&sampling](const std::string& option, const std::string& value) {
                 if (sampling.logit_bias.size() == kMaxLogitBias) {
                   usage_error("{} {}: expected at most {} of them", option, value, kMaxLogitBias);
                 }
                 sampling.logit_bias.push_back(parse_logit_bias(option, value));
               });
}

void add_ends(CLI::App& app, Request& request, const GenerationDefaults& defaults) {
  OptionGroup group(app, "Ends");
  group.integer({"-n,--max-new-tokens", "N",
                 fmt::format("At most N new tokens (default: {})", defaults.max_new_tokens)},
                request.max_new_tokens, 1);
  group.values(
      {"--stop", "TEXT", "End before this text; \\n, \\t, \\\\ are escapes; may be repeated"},
      [&request](const std::string& option, const std::string& value) {
        request.stop.push_back(parse_stop(option, value));
      });
  group.integer({"--min-new-tokens", "N", "No end token before N new tokens"},
                request.min_new_tokens, 0);
  group.value({"--stop-token-ids", "IDS", "End with these token ids, too, such as 1,2,3"},
              [&request](const std::string& option, const std::string& value) {
                request.stop_token_ids = parse_ids(option, value);
              });
  group.flag("--ignore-eos", request.ignore_eos, "Go on after end tokens, up to the limit");
}

void reject_contradictions(const SamplingSwitches& switches, const SamplingParams& sampling) {
  reject_with(switches.greedy, {switches.temperature});
  reject_with(switches.greedy, switches.filters);
  if (sampling.temperature != 0.0F) return;
  for (const CLI::Option* filter : switches.filters) {
    if (filter->count() != 0) {
      usage_error("--temperature 0, which is --greedy, and {} contradict each other",
                  filter->get_name());
    }
  }
}

}  // namespace

std::function<void()> add_generation_options(CLI::App& app, Request& request,
                                             const GenerationDefaults& defaults) {
  const SamplingSwitches switches = add_sampling(app, request.sampling, defaults);
  add_penalties(app, request.sampling);
  add_ends(app, request, defaults);
  return [switches, &request] { reject_contradictions(switches, request.sampling); };
}

std::string parse_stop(const std::string& option, std::string_view text) {
  if (text.empty()) usage_error("{}: expected some text, got ''", option);
  if (invalid_utf8_at(text)) usage_error("{}: expected UTF-8, got {}", option, quoted_name(text));
  std::string stop;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      stop += text[i];
      continue;
    }
    const char escaped = ++i < text.size() ? text[i] : '\0';
    if (escaped == 'n') {
      stop += '\n';
    } else if (escaped == 't') {
      stop += '\t';
    } else if (escaped == '\\') {
      stop += '\\';
    } else {
      usage_error("{}: expected \\n, \\t or \\\\ as escapes, got {}", option, quoted_name(text));
    }
  }
  return stop;
}

std::pair<std::int32_t, float> parse_logit_bias(const std::string& option, std::string_view text) {
  const std::size_t equals = text.find('=');
  if (equals == std::string_view::npos) {
    usage_error("{}: expected ID=VALUE, got {}", option, quoted_name(text));
  }
  const std::string place = fmt::format("{} {}", option, quoted_name(text));
  return {parse_integer(place, text.substr(0, equals), 0),
          parse_float(place, text.substr(equals + 1), kFiniteRange)};
}

}  // namespace quern::tools
