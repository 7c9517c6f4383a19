#include "tools/cli/answer_options.h"

#include <CLI/CLI.hpp>
#include <array>
#include <string_view>
#include <utility>
#include <vector>

#include "quern/limits.h"
#include "quern/text.h"
#include "tools/cli/option_group.h"
#include "tools/cli/usage_error.h"

namespace quern::tools {
namespace {

constexpr NumberRange kPenalty{-kAnyNumber, kAnyNumber, true, "a finite number"};

constexpr std::array<std::pair<std::string_view, EarlyStopping>, 8> kEarlyStopping = {{
    {"off", EarlyStopping::off},
    {"false", EarlyStopping::off},
    {"0", EarlyStopping::off},
    {"on", EarlyStopping::on},
    {"true", EarlyStopping::on},
    {"1", EarlyStopping::on},
    {"never", EarlyStopping::never},
    {"2", EarlyStopping::never},
}};

}  // namespace

EarlyStopping parse_early_stopping(const std::string& option, const std::string& value) {
  for (const auto& [name, choice] : kEarlyStopping) {
    if (value == name) return choice;
  }
  usage_error("{}: expected off, on or never, got {}", option, quoted_name(value));
}

std::function<void()> add_answer_options(CLI::App& app, Request& request) {
  OptionGroup group(app, "Beam search and several answers");
  BeamSearchParams& beams = request.beam_search;
  group.integer({"--num-beams", "N", "Beam search with N beams (default: 1, none)"},
                beams.num_beams, 1, kMaxSeqs);
  const CLI::Option* penalty =
      group.value({"--length-penalty", "X",
                   "Divide a beam's log-probability by its length to the power of X (default: 1)"},
                  [&beams](const std::string& option, const std::string& value) {
                    beams.length_penalty = parse_float(option, value, kPenalty);
                  });
  const CLI::Option* stopping = group.value(
      {"--early-stopping", "WHEN",
       "on: end with as many finished beams as N; never: once none can improve at any length; off: "
       "once none is likely to (default)"},
      [&beams](const std::string& option, const std::string& value) {
        beams.early_stopping = parse_early_stopping(option, value);
      });
  group.integer(
      {"--num-return-sequences", "N", "Answers to each prompt: samples, or the best beams"},
      request.num_return_sequences, 1, kMaxReturnSequences);
  return [&request, penalty, stopping] {
    const int num_beams = request.beam_search.num_beams;
    for (const CLI::Option* option : {penalty, stopping}) {
      if (option->count() != 0 && num_beams == 1) {
        usage_error("{} needs --num-beams of at least 2", option->get_name());
      }
    }
    if (num_beams > 1 && request.num_return_sequences > num_beams) {
      usage_error("--num-return-sequences {}: expected at most --num-beams, {}",
                  request.num_return_sequences, num_beams);
    }
    const SamplingParams& sampling = request.sampling;
    const bool samples = sampling.temperature.value_or(0) > 0 || sets_filters(sampling);
    if (num_beams > 1 && samples) {
      usage_error(
          "--num-beams and --temperature, --top-k, --top-p, --min-p and other filters contradict "
          "each other: beam "
          "search does not sample");
    }
    const bool greedy = sampling.greedy || sampling.temperature == 0.0F;
    if (num_beams == 1 && greedy && request.num_return_sequences > 1) {
      usage_error("--greedy and --num-return-sequences {} contradict each other: one answer",
                  request.num_return_sequences);
    }
  };
}

}  // namespace quern::tools
