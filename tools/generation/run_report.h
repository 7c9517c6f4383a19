#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "quern/engine.h"
#include "tools/output/json_output.h"

namespace quern::tools {

/// "31 tokens: prefill 512.0 tokens/s, decode 310.2 tokens/s, first after 21 ms, length, seed 7",
/// with the seeds of sampled results, and a line's end.
std::string summary_line(const Engine& engine, const std::vector<Request>& requests,
                         const std::vector<Result>& results);

/// What an answer thought: of a prompt, by its index, the answer so numbered.
using ReasoningOf = std::function<std::string(std::size_t index, std::size_t answer)>;

/// What `quern run --json` prints. `prompts` are the prompts' texts; reasoning is shown where there
/// is some.
OrderedJson run_json(const Engine& engine, const std::vector<Request>& requests,
                     const std::vector<Result>& results, const std::vector<std::string>& prompts,
                     const ReasoningOf& reasoning);

/// A line of --stream-json for each token of an update, or for text without one: {"prompt"?,
/// "sequence"?, "id", "text", "reasoning"?, "logprob"?, "top"?, "finish_reason"?}. The text is what
/// the token completes; where an update has several tokens, the last has it all.
std::string stream_lines(const Update& update, const std::string& reasoning,
                         std::optional<std::size_t> prompt, std::optional<int> answer);

/// An error line for each prompt that could not go on; true when there are any.
bool print_errors(const std::vector<Result>& results);

}  // namespace quern::tools
