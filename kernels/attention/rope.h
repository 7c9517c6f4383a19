#pragma once

namespace quern::kernels {

/// Maximum number of rotated pairs of a head.
inline constexpr int kMaxRopePairs = 128;

/// Rope parameters of the kernels: inverse frequencies of alpha 1 and longrope's second set are
/// computed on the host, those of a scaled base on the device. See graph/rope.h. Kept small: a
/// launch copies its parameters.
struct RopeParams {
  int num_pairs = 0;  ///< rotary_dim / 2; 0: no rope
  float attention_factor = 1.0f;
  bool grows = false;           ///< dynamic, qwen_ntk, longrope: depends on a sequence's alpha
  bool follows_length = false;  ///< dynamic, longrope: and alpha at least on the sequence's length
  bool selects_long = false;    ///< longrope: an alpha other than 1 means the second set
  int original_max_position = 0;
  float factor = 1.0f;
  double theta = 0.0;
  /// [num_pairs] for alpha 1, then for longrope [num_pairs] for others; written before any step.
  const float* inv_freq = nullptr;
};

}  // namespace quern::kernels
