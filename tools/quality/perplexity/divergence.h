#pragma once

#include <span>

namespace quern::tools {

/// How far a model's distribution of one token lies from the reference's.
struct Divergence {
  /// Σ p_reference · log(p_reference / p), in nats, at least 0; NaN for logits that are.
  double kl = 0;
  /// Both find the same token likeliest; the first of equals counts. Never where kl is NaN.
  bool same_top = false;
};

/// From logits, in double precision. Shapes: both [vocab_size], not empty.
Divergence divergence(std::span<const float> reference, std::span<const float> logits);

}  // namespace quern::tools
