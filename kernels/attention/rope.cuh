#pragma once

#include "kernels/attention/rope.h"

namespace quern::kernels {

/// One inverse frequency of the base theta · alpha^(d / (d - 2)), with the rounding of
/// graph/rope.cc. Not inlined: few sequences need it, and it takes many registers.
__device__ __noinline__ inline float grown_inv_freq(double theta, float alpha, bool follows_length,
                                                    int num_pairs, int pair) {
  const int rotary_dim = 2 * num_pairs;
  const double exponent = rotary_dim / (rotary_dim - 2.0);
  float base;
  if (follows_length) {
    const double power = pow(static_cast<double>(alpha), static_cast<double>(float(exponent)));
    base = static_cast<float>(theta) * static_cast<float>(power);
  } else {
    base = static_cast<float>(theta * pow(static_cast<double>(alpha), exponent));
  }
  const float fraction = static_cast<float>(2 * pair) / static_cast<float>(rotary_dim);
  return 1.0f / static_cast<float>(pow(static_cast<double>(base), static_cast<double>(fraction)));
}

/// The alpha of a sequence: that of its state, for dynamic rope and longrope at least the one of
/// its length.
__device__ inline float alpha_of(const RopeParams& rope, float state_alpha, int kv_len) {
  if (!rope.grows) return 1.0f;
  if (!rope.follows_length || kv_len <= rope.original_max_position) return state_alpha;
  if (rope.selects_long) return 2.0f;
  const float stretched =
      rope.factor * static_cast<float>(kv_len) / static_cast<float>(rope.original_max_position);
  return fmaxf(state_alpha, stretched - (rope.factor - 1.0f));
}

/// Cosine and sine of an angle below 2^22, to about 2e-7. As accurate as sincosf, without its slow
/// path for large angles and the local memory that it needs: range reduction multiplies by 1/π as a
/// two-term constant and removes whole turns, with negligible error.
__device__ inline float2 rotation_of(float angle) {
  constexpr float kInversePi = 0.31830987334251404f;
  constexpr float kInversePiRest = 1.2841276486597054e-08f;
  const float half_turns = angle * kInversePi;
  const float rest = fmaf(angle, kInversePiRest, fmaf(angle, kInversePi, -half_turns));
  float2 rotation;
  sincospif(half_turns - 2.0f * rintf(0.5f * half_turns) + rest, &rotation.y, &rotation.x);
  return rotation;
}

/// Cosines and sines of the angles of one token, [num_pairs]; run by the block. The caller
/// synchronizes.
__device__ inline void fill_rotation(const RopeParams& rope, float alpha, int position,
                                     float2* rotation) {
  for (int pair = threadIdx.x; pair < rope.num_pairs; pair += blockDim.x) {
    float inv_freq = rope.inv_freq[pair];
    if (alpha != 1.0f) {
      inv_freq = rope.selects_long
                     ? rope.inv_freq[rope.num_pairs + pair]
                     : grown_inv_freq(rope.theta, alpha, rope.follows_length, rope.num_pairs, pair);
    }
    const auto [cosine, sine] = rotation_of(static_cast<float>(position) * inv_freq);
    rotation[pair] = {cosine * rope.attention_factor, sine * rope.attention_factor};
  }
}

}  // namespace quern::kernels
