#include "tools/generation/run_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <span>

#include "tools/output/console.h"
#include "tools/report/profile_report.h"

namespace quern::tools {
namespace {

/// The seed of each result that was sampled; a greedy one has none that matters.
std::vector<std::optional<std::uint64_t>> sampling_seeds(const Engine& engine,
                                                         const std::vector<Request>& requests,
                                                         const std::vector<Result>& results) {
  std::vector<std::optional<std::uint64_t>> seeds(results.size());
  for (std::size_t i = 0; i < results.size(); ++i) {
    if (engine.resolve(requests[i]).sampling.temperature.value() > 0) seeds[i] = results[i].seed;
  }
  return seeds;
}

/// ", seed 7", ", seeds 7, 8", or nothing.
std::string seeds_text(const std::vector<std::optional<std::uint64_t>>& all) {
  constexpr std::size_t kMaxShown = 8;  // JSON has them all
  std::vector<std::uint64_t> seeds;
  for (const auto& seed : all) {
    if (seed) seeds.push_back(*seed);
  }
  if (seeds.empty()) return "";
  if (std::all_of(seeds.begin(), seeds.end(), [&](auto seed) { return seed == seeds[0]; })) {
    return fmt::format(", seed {}", seeds.front());
  }
  const auto shown = std::span(seeds).first(std::min(seeds.size(), kMaxShown));
  return fmt::format(", seeds {}{}", fmt::join(shown, ", "),
                     shown.size() < seeds.size() ? ", …" : "");
}

std::size_t num_output_tokens(const Result& result) {
  if (result.sequences.empty()) return result.output_ids.size();
  std::size_t count = 0;
  for (const SequenceResult& answer : result.sequences) count += answer.output_ids.size();
  return count;
}

void add_reasoning(OrderedJson& answer, const std::string& reasoning) {
  if (!reasoning.empty()) answer["reasoning"] = reasoning;
}

}  // namespace

std::string summary_line(const Engine& engine, const std::vector<Request>& requests,
                         const std::vector<Result>& results) {
  const Timing timing = engine.timing();
  std::size_t num_tokens = 0;
  std::map<std::string, int> reasons;
  for (const Result& result : results) {
    num_tokens += num_output_tokens(result);
    ++reasons[finish_reason_name(result.finish_reason)];
  }
  std::string line = fmt::format(
      "{} tokens: prefill {:.1f} tokens/s, decode {:.1f} tokens/s, first after {:.0f} ms",
      num_tokens, timing.prefill_tokens_per_s, timing.decode_tokens_per_s,
      timing.time_to_first_token_ms);
  if (timing.cached_prompt_tokens > 0) {
    line += fmt::format(", {} prompt tokens cached", timing.cached_prompt_tokens);
  }
  for (const auto& [reason, count] : reasons) {
    line += results.size() == 1 ? ", " + reason : fmt::format(", {} {}", count, reason);
  }
  return line + seeds_text(sampling_seeds(engine, requests, results)) + "\n";
}

OrderedJson run_json(const Engine& engine, const std::vector<Request>& requests,
                     const std::vector<Result>& results, const std::vector<std::string>& prompts,
                     const ReasoningOf& reasoning) {
  const bool one_seed = std::all_of(results.begin(), results.end(), [&](const Result& result) {
    return result.seed == results.front().seed;
  });
  const auto seeds = sampling_seeds(engine, requests, results);
  OrderedJson json = subject_json(engine.info(), engine.options());
  json.update({{"seed", one_seed ? OrderedJson(results.front().seed) : OrderedJson(nullptr)},
               {"results", OrderedJson::array()},
               {"timing", timing_json(engine.timing())}});
  if (engine.options().profile) json["profile"] = profile_json(profile(engine));
  for (std::size_t i = 0; i < results.size(); ++i) {
    json["results"].push_back(result_json(results[i], prompts[i], requests[i]));
    OrderedJson& entry = json["results"].back();
    add_reasoning(entry, reasoning(i, 0));
    for (std::size_t answer = 0; answer < results[i].sequences.size(); ++answer) {
      add_reasoning(entry["sequences"][answer], reasoning(i, answer));
    }
    if (seeds[i]) entry["seed"] = *seeds[i];
  }
  return json;
}

bool print_errors(const std::vector<Result>& results) {
  bool any = false;
  for (std::size_t i = 0; i < results.size(); ++i) {
    if (results[i].finish_reason != FinishReason::error) continue;
    any = true;
    print_error(results.size() == 1
                    ? results[i].error
                    : fmt::format("prompt {} of {}: {}", i + 1, results.size(), results[i].error));
  }
  return any;
}

std::string stream_lines(const Update& update, const std::string& reasoning,
                         std::optional<std::size_t> prompt, std::optional<int> answer) {
  const std::size_t num_tokens = update.token_ids.size();
  std::string lines;
  for (std::size_t i = 0; i < std::max<std::size_t>(num_tokens, 1); ++i) {
    const bool is_last = i + 1 >= num_tokens;
    OrderedJson line = OrderedJson::object();
    if (prompt) line["prompt"] = *prompt;
    if (answer) line["sequence"] = *answer;
    if (i < num_tokens) line["id"] = update.token_ids[i];
    line["text"] = is_last ? update.text : "";
    if (is_last && !reasoning.empty()) line["reasoning"] = reasoning;
    if (i < update.logprobs.size()) line.update(logprobs_json(update.logprobs[i]));
    if (is_last && update.finish_reason) {
      line["finish_reason"] = finish_reason_name(*update.finish_reason);
    }
    lines += json_line(line);
  }
  return lines;
}

}  // namespace quern::tools
