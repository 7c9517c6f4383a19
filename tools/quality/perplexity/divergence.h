#pragma once

#include <span>

namespace quern::tools {

/// Divergence of a model's distribution of one token from the reference's.
struct Divergence {
  /// Σ p_reference · log(p_reference / p) over the tokens with p_reference > 0, in nats, at least
  /// 0. Logits of -inf are legal: infinity where the model excludes a token that the reference
  /// does not. NaN for logits with NaN or +inf.
  double kl = 0;
  /// Both have the same most likely token, the first of equals. False where kl is NaN.
  bool same_top = false;
};

/// From logits, in double precision. Shapes: both [vocab_size], not empty.
Divergence divergence(std::span<const float> reference, std::span<const float> logits);

}  // namespace quern::tools
