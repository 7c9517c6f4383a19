#pragma once

#include <cstdint>
#include <span>

#include "graph/step.h"
#include "model/config/config.h"
#include "model/config/generation_config.h"
#include "quern/request.h"

namespace quern {

/// A request's parameters for the Sample op: the request's own values, else generation_config's,
/// else off; see SamplingParams. The seed must be set. Errors:
/// invalid_argument naming the parameter and its value.
SamplingRow resolve_sampling(const Request& request, const GenerationConfig& generation,
                             std::span<const std::int32_t> eos_token_ids, int vocab_size);

/// Checks a number of best tokens. Errors: invalid_argument naming the parameter and its value.
void require_top_logprobs(const char* name, int value);

}  // namespace quern
