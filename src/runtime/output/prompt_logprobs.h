#pragma once

#include <cstdint>
#include <span>

#include "quern/request.h"

namespace quern {

/// The log-probabilities of a known token and of the num_top best ones, from the logits of the
/// position before it; as Sample's of a token that it chose. Where Sample would give a SampleError,
/// the id is that and there are none.
TokenLogprobs logprobs_of(std::span<const float> logits, std::int32_t token_id, int num_top);

}  // namespace quern
