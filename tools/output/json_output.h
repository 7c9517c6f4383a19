#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "quern/engine.h"

namespace quern::tools {

/// Keys stay in the order in which they were added, which is the order people read them in.
using OrderedJson = nlohmann::ordered_json;

/// The number as float32's shortest decimal form gives it, so that JSON does not show digits that
/// are not there.
double shortest(float value);

/// `value` to `digits` places after the point.
double rounded(double value, int digits);

/// {"model", "weights"?, "device", "dtype"}: what ran, at the head of a result. "weights" is
/// "random" where they are.
OrderedJson subject_json(const ModelInfo& info, const EngineOptions& resolved);

/// {"prompt", "prompt_ids", "output_ids", "text", "finish_reason", "prompt_logprobs"?, "score"?,
/// "error"?, "logprobs"?, "sequences"?: [{"output_ids", "text", "finish_reason", "score"?,
/// "error"?, "logprobs"?}]}; "error" says what went wrong where the finish reason is "error".
OrderedJson result_json(const Result& result, const std::string& prompt, const Request& request);

/// {"id", "logprob", "top": [{"id", "logprob"}]}
OrderedJson logprobs_json(const TokenLogprobs& logprobs);

OrderedJson timing_json(const Timing& timing);

/// One line of JSON and its end. What is not UTF-8 is replaced, so that the line is always valid.
std::string json_line(const OrderedJson& json);

/// The same on standard output.
void print_json(const OrderedJson& json);

}  // namespace quern::tools
