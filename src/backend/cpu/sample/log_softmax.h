#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "backend/cpu/sample/sampling_filter.h"

namespace quern::cpu {

/// Whether a logit is NaN or +inf. Branch-free, so that it costs a vector instruction or two.
bool has_nonfinite(std::span<const float> logits);

/// The largest score, -inf where there is none. None is NaN.
float largest_of(std::span<const float> scores);

/// log Σ exp(logits); no logit is NaN or +inf, and one is above -inf.
float log_sum_exp(std::span<const float> logits);

/// The `count` largest scores, or all where there are fewer, best first. None is NaN.
std::vector<Candidate> largest(std::span<const float> scores, int count);

}  // namespace quern::cpu
