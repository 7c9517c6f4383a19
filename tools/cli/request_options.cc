#include "tools/cli/request_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <vector>

#include "quern/limits.h"
#include "quern/text.h"
#include "tools/cli/numbers.h"
#include "tools/cli/usage_error.h"

namespace quern::tools {
namespace {

using Group = RequestOption::Group;
using Effect = RequestOption::Effect;
using Form = RequestOption::Form;

/// What the help says of an option.
struct OptionText {
  std::string_view name;
  std::string_view placeholder;
  std::string_view description;
};

/// The member of a Request or of its SamplingParams.
template <typename AnyRequest, typename T>
auto& member_of(AnyRequest& request, T Request::*member) {
  return request.*member;
}
template <typename AnyRequest, typename T>
auto& member_of(AnyRequest& request, T SamplingParams::*member) {
  return request.sampling.*member;
}

template <auto Member>
void reset_member(Request& request) {
  member_of(request, Member) = {};
}

template <auto Member>
std::string shown_number(const Request& request) {
  const auto& value = member_of(request, Member);
  return value ? fmt::format("{}", *value) : "default";
}

/// An option whose value `assign` reads into a number.
template <auto Member>
constexpr RequestOption numeric(OptionText text, Group group, Effect effect,
                                decltype(RequestOption::assign) assign) {
  return {text.name, "",          text.placeholder, text.description,     group,
          effect,    Form::value, assign,           reset_member<Member>, shown_number<Member>};
}

template <auto Member, const NumberRange& Range>
constexpr RequestOption number(OptionText text, Group group, Effect effect = Effect::none) {
  return numeric<Member>(text, group, effect,
                         [](Request& request, const std::string& place, const std::string& value) {
                           member_of(request, Member) = parse_float(place, value, Range);
                         });
}

template <auto Member, int Low>
constexpr RequestOption count(OptionText text, Group group, Effect effect = Effect::none) {
  return numeric<Member>(text, group, effect,
                         [](Request& request, const std::string& place, const std::string& value) {
                           member_of(request, Member) = parse_integer(place, value, Low);
                         });
}

template <auto Member>
constexpr RequestOption flag(OptionText text, Group group, Effect effect = Effect::none) {
  return {text.name,
          "",
          text.placeholder,
          text.description,
          group,
          effect,
          Form::flag,
          [](Request& request, const std::string& place, const std::string& value) {
            if (value != "on" && value != "off") {
              usage_error("{}: expected on or off, got {}", place, quoted_name(value));
            }
            member_of(request, Member) = value == "on";
          },
          reset_member<Member>,
          [](const Request& request) {
            return std::string(member_of(request, Member) ? "on" : "off");
          }};
}

constexpr RequestOption special(OptionText text, Group group, Form form,
                                decltype(RequestOption::assign) assign,
                                decltype(RequestOption::reset) reset,
                                decltype(RequestOption::show) show) {
  return {text.name, "",  text.placeholder, text.description, group, Effect::none, form, assign,
          reset,     show};
}

/// Greedy decoding goes by two names.
std::string shown_greedy(const Request& request) {
  const SamplingParams& sampling = request.sampling;
  return sampling.greedy || sampling.temperature == 0.0F ? "on" : "off";
}

constexpr RequestOption shown_by(RequestOption option, decltype(RequestOption::show) show) {
  option.show = show;
  return option;
}

constexpr RequestOption with_short_name(RequestOption option, std::string_view name) {
  option.short_name = name;
  return option;
}

void assign_seed(Request& request, const std::string& place, const std::string& value) {
  request.sampling.seed = parse_unsigned(place, value);
}

void add_breaker(Request& request, const std::string& place, const std::string& value) {
  auto& breakers = request.sampling.dry_sequence_breakers;
  std::string breaker = parse_stop(place, value);
  if (!breakers) breakers.emplace();
  breakers->push_back(std::move(breaker));
}

void add_bias(Request& request, const std::string& place, const std::string& value) {
  if (request.sampling.logit_bias.size() == kMaxLogitBias) {
    usage_error("{} {}: expected at most {} of them", place, value, kMaxLogitBias);
  }
  request.sampling.logit_bias.push_back(parse_logit_bias(place, value));
}

void add_stop(Request& request, const std::string& place, const std::string& value) {
  request.stop.push_back(parse_stop(place, value));
}

void assign_stop_ids(Request& request, const std::string& place, const std::string& value) {
  request.stop_token_ids = parse_ids(place, value);
}

/// Quoted, as parse_stop() reads them.
std::string shown_texts(const std::vector<std::string>& texts) {
  std::string shown;
  for (const std::string& text : texts) {
    if (!shown.empty()) shown += ' ';
    shown += quoted_name(text);
  }
  return shown.empty() ? "none" : shown;
}

std::string shown_breakers(const Request& request) {
  const auto& breakers = request.sampling.dry_sequence_breakers;
  return breakers ? shown_texts(*breakers) : "default";
}

std::string shown_biases(const Request& request) {
  std::vector<std::string> shown;
  for (const auto& [id, value] : request.sampling.logit_bias) {
    shown.push_back(fmt::format("{}={}", id, value));
  }
  return shown.empty() ? "none" : fmt::format("{}", fmt::join(shown, " "));
}

std::string shown_stops(const Request& request) { return shown_texts(request.stop); }

std::string shown_stop_ids(const Request& request) {
  const auto& ids = request.stop_token_ids;
  return ids.empty() ? "none" : fmt::format("{}", fmt::join(ids, ","));
}

constexpr auto kOptions = std::to_array<RequestOption>({
    shown_by(flag<&SamplingParams::greedy>(
                 {"greedy", "", "Always the best token; generation_config.json does not apply"},
                 Group::sampling, Effect::greedy),
             shown_greedy),
    number<&SamplingParams::temperature, kTemperatureRange>(
        {"temperature", "T", "Divide the logits by this; 0 is the same as --greedy"},
        Group::sampling, Effect::samples),
    count<&SamplingParams::top_k, 0>({"top_k", "K", "Keep the K best tokens; 0: all"},
                                     Group::sampling, Effect::filters),
    number<&SamplingParams::top_p, kTopPRange>(
        {"top_p", "P", "Keep the best tokens that together have this probability"}, Group::sampling,
        Effect::filters),
    number<&SamplingParams::min_p, kMinPRange>(
        {"min_p", "P", "Drop tokens below P times the best one's probability"}, Group::sampling,
        Effect::filters),
    number<&SamplingParams::top_n_sigma, kNotNegativeRange>(
        {"top_n_sigma", "N", "Keep logits within N standard deviations of the best one; 0: all"},
        Group::sampling, Effect::filters),
    number<&SamplingParams::typical_p, kTopPRange>(
        {"typical_p", "P",
         "Keep the tokens nearest to the entropy that together have this probability"},
        Group::sampling, Effect::filters),
    number<&SamplingParams::epsilon_cutoff, kCutoffRange>(
        {"epsilon_cutoff", "P", "Drop tokens below this probability"}, Group::sampling,
        Effect::filters),
    number<&SamplingParams::eta_cutoff, kCutoffRange>(
        {"eta_cutoff", "P", "The same, for less where the entropy is high"}, Group::sampling,
        Effect::filters),
    number<&SamplingParams::xtc_probability, kMinPRange>(
        {"xtc_probability", "P",
         "With this probability drop all tokens above --xtc-threshold but the last"},
        Group::sampling, Effect::filters),
    number<&SamplingParams::xtc_threshold, kMinPRange>(
        {"xtc_threshold", "P", "Of --xtc-probability (default: 0.1)"}, Group::sampling),
    number<&SamplingParams::mirostat_tau, kNotNegativeRange>(
        {"mirostat_tau", "BITS",
         "Mirostat v2 in place of the filters above: the mean surprise of a token; 0: off"},
        Group::sampling, Effect::mirostat),
    number<&SamplingParams::mirostat_eta, kNotNegativeRange>(
        {"mirostat_eta", "RATE", "How fast --mirostat-tau corrects itself (default: 0.1)"},
        Group::sampling),
    special({"seed", "N", "Same seed, same text (default: a random one, which is printed)"},
            Group::sampling, Form::value, assign_seed, reset_member<&SamplingParams::seed>,
            shown_number<&SamplingParams::seed>),
    number<&SamplingParams::repetition_penalty, kPositiveRange>(
        {"repetition_penalty", "X", "Over prompt and generated tokens; 1: off"}, Group::penalties),
    number<&SamplingParams::presence_penalty, kFiniteRange>(
        {"presence_penalty", "X", "Over generated tokens; 0: off"}, Group::penalties),
    number<&SamplingParams::frequency_penalty, kFiniteRange>(
        {"frequency_penalty", "X", "Over generated tokens, times their count; 0: off"},
        Group::penalties),
    count<&SamplingParams::no_repeat_ngram_size, 0>(
        {"no_repeat_ngram_size", "N", "No N tokens in a row occur twice; 0: off"},
        Group::penalties),
    number<&SamplingParams::dry_multiplier, kNotNegativeRange>(
        {"dry_multiplier", "X",
         "DRY: penalize what makes a repetition longer by X · BASE ^ (its length - LENGTH)"},
        Group::penalties),
    number<&SamplingParams::dry_base, kFromOneRange>(
        {"dry_base", "BASE", "Of --dry-multiplier (default: 1.75)"}, Group::penalties),
    count<&SamplingParams::dry_allowed_length, 1>(
        {"dry_allowed_length", "LENGTH", "Tokens that may be repeated (default: 2)"},
        Group::penalties),
    count<&SamplingParams::dry_range, 0>(
        {"dry_range", "N", "Only the last N tokens count; 0: all (default)"}, Group::penalties),
    special({"dry_sequence_breaker", "TEXT",
             "A repetition ends at TEXT (default: newline, colon, quote, asterisk); \\n, \\t, \\\\ "
             "are escapes; may be repeated"},
            Group::penalties, Form::values, add_breaker,
            reset_member<&SamplingParams::dry_sequence_breakers>, shown_breakers),
    special({"logit_bias", "ID=VALUE", "Add VALUE to the logit of token ID; may be repeated"},
            Group::penalties, Form::values, add_bias, reset_member<&SamplingParams::logit_bias>,
            shown_biases),
    with_short_name(count<&Request::max_new_tokens, 1>(
                        {"max_new_tokens", "N", "At most N new tokens (default: {})"}, Group::ends),
                    "-n"),
    special({"stop", "TEXT", "End before this text; \\n, \\t, \\\\ are escapes; may be repeated"},
            Group::ends, Form::values, add_stop, reset_member<&Request::stop>, shown_stops),
    count<&Request::min_new_tokens, 0>({"min_new_tokens", "N", "No end token before N new tokens"},
                                       Group::ends),
    special({"stop_token_ids", "IDS", "End with these token ids, too, such as 1,2,3"}, Group::ends,
            Form::value, assign_stop_ids, reset_member<&Request::stop_token_ids>, shown_stop_ids),
    flag<&Request::ignore_eos>({"ignore_eos", "", "Go on after end tokens, up to the limit"},
                               Group::ends),
});

}  // namespace

std::string RequestOption::spelling() const {
  std::string text = short_name.empty() ? "--" : fmt::format("{},--", short_name);
  text += name;
  std::ranges::replace(text, '_', '-');
  return text;
}

std::span<const RequestOption> request_options() { return kOptions; }

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
