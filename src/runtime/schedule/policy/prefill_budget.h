#pragma once

#include <span>
#include <vector>

#include "graph/limits.h"

namespace quern {

/// The most tokens of a step, so that the time between two tokens of a sequence is bounded: by that
/// of a step of max_tokens_per_step at worst, and of max_mixed_tokens while few prompts are in
/// prefill beside many sequences that decode.
int step_token_budget(const Limits& limits, int num_decode, int num_prefill);

/// Splits `room` tokens among prompts, of which `remaining` has the tokens left, in the order of
/// admission. The oldest gets at least half, so that short ones cannot starve it; the other half
/// goes to the shortest, so that a long one does not hold them up: a prompt of n tokens waits for
/// those that are shorter, not for longer ones. What they leave goes to all in order.
/// Returns the tokens of each.
std::vector<int> share_prefill(std::span<const int> remaining, int room);

}  // namespace quern
