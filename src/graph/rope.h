#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "graph/op.h"

namespace quern {

/// Whether a sequence's frequencies depend on its alpha.
bool has_alpha(RopeType type);

/// Whether alpha grows with the sequence, beyond what its prompt asked for.
bool alpha_follows_length(RopeType type);

/// Writes the rotary_dim / 2 inverse frequencies, computed as HF's rope init functions do (float32
/// results). `alpha` multiplies the base as theta · alpha^(d / (d - 2)) for dynamic and qwen_ntk;
/// longrope divides by short_factors where it is 1, else by long_factors; for other types it must
/// be 1.
void rope_inv_freq(const Rope& rope, double alpha, std::span<float> inv_freq);
std::vector<float> rope_inv_freq(const Rope& rope, double alpha);

/// The alpha of a sequence of that many tokens: 1 up to original_max_position; beyond it
///   dynamic: factor · len / original - (factor - 1);
///   longrope: 2;
///   qwen_ntk: max(1, 2^ceil(log2(len / original) + 1) - 1);
/// and 1 for every other type. Source: HF modeling_rope_utils.py, Qwen's get_ntk_alpha.
double rope_alpha(const Rope& rope, std::int64_t num_tokens);

}  // namespace quern
