#include "tools/output/json_output.h"

#include <fmt/format.h>

#include <cmath>
#include <cstdlib>

#include "tools/cli/model_options.h"
#include "tools/output/console.h"

namespace quern::tools {

double shortest(float value) { return std::strtod(fmt::format("{}", value).c_str(), nullptr); }

OrderedJson logprobs_json(const TokenLogprobs& logprobs) {
  OrderedJson top = OrderedJson::array();
  for (const TokenLogprob& entry : logprobs.top) {
    top.push_back({{"id", entry.id}, {"logprob", shortest(entry.logprob)}});
  }
  return {{"id", logprobs.id}, {"logprob", shortest(logprobs.logprob)}, {"top", std::move(top)}};
}

namespace {

OrderedJson list_json(const std::vector<TokenLogprobs>& tokens) {
  OrderedJson list = OrderedJson::array();
  for (const TokenLogprobs& token : tokens) list.push_back(logprobs_json(token));
  return list;
}

/// What only some results and answers have.
template <typename Answer>
void add_details(OrderedJson& json, const Answer& answer, const Request& request) {
  if (answer.score) json["score"] = shortest(*answer.score);
  if (answer.finish_reason == FinishReason::error) json["error"] = answer.error;
  if (request.top_logprobs) json["logprobs"] = list_json(answer.logprobs);
}

}  // namespace

double rounded(double value, int digits) {
  const double scale = std::pow(10.0, digits);
  return std::round(value * scale) / scale;
}

OrderedJson subject_json(const ModelInfo& info, const EngineOptions& resolved) {
  OrderedJson json = {{"model", info.name}};
  if (info.random_weights) json["weights"] = "random";
  json["device"] = device_name(resolved);
  json["dtype"] = dtype_name(resolved);
  return json;
}

OrderedJson result_json(const Result& result, const std::string& prompt, const Request& request) {
  OrderedJson json = {{"prompt", prompt},
                      {"prompt_ids", result.prompt_ids},
                      {"output_ids", result.output_ids},
                      {"text", result.text},
                      {"finish_reason", finish_reason_name(result.finish_reason)}};
  if (request.prompt_logprobs) json["prompt_logprobs"] = list_json(result.prompt_logprobs);
  add_details(json, result, request);
  for (const SequenceResult& answer : result.sequences) {
    OrderedJson& entry = json["sequences"].emplace_back(
        OrderedJson{{"output_ids", answer.output_ids},
                    {"text", answer.text},
                    {"finish_reason", finish_reason_name(answer.finish_reason)}});
    add_details(entry, answer, request);
  }
  return json;
}

OrderedJson timing_json(const Timing& timing) {
  return {{"load_ms", rounded(timing.load_ms, 3)},
          {"time_to_first_token_ms", rounded(timing.time_to_first_token_ms, 3)},
          {"prefill_tokens_per_s", rounded(timing.prefill_tokens_per_s, 1)},
          {"decode_tokens_per_s", rounded(timing.decode_tokens_per_s, 1)},
          {"cached_prompt_tokens", timing.cached_prompt_tokens},
          {"total_ms", rounded(timing.total_ms, 3)},
          {"steps_run", timing.steps_run},
          {"stop_checks", timing.stop_checks},
          {"host_syncs", timing.host_syncs},
          {"loop", loop_runner_name(timing.loop)},
          {"launches_per_step", timing.launches_per_step},
          {"dependent_launches_per_step", timing.dependent_launches_per_step},
          {"library_calls_per_step", timing.library_calls_per_step},
          {"recording_bytes", timing.recording_bytes},
          {"peak_memory_bytes", timing.peak_memory_bytes}};
}

std::string json_line(const OrderedJson& json) {
  constexpr int kOneLine = -1;
  return json.dump(kOneLine, ' ', false, OrderedJson::error_handler_t::replace) + "\n";
}

void print_json(const OrderedJson& json) { write_stdout(json_line(json)); }

}  // namespace quern::tools
