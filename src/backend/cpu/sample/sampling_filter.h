#pragma once

#include <cstdint>
#include <span>

namespace quern::cpu {

/// A token that may still be drawn.
struct Candidate {
  float score = 0.0f;  ///< logit / temperature
  std::int32_t id = 0;
};

/// The order of candidates: the larger score first, the lower id among equals.
inline bool better(const Candidate& a, const Candidate& b) {
  return a.score != b.score ? a.score > b.score : a.id < b.id;
}

// Each filter moves the survivors to the front and returns them. Scores are finite. None sorts all
// candidates.

/// The k best, and ties with the last of them. `scratch` has room for k floats.
/// Source: HF TopKLogitsWarper.
std::span<Candidate> keep_top_k(std::span<Candidate> candidates, std::int32_t k,
                                std::span<float> scratch);

/// The fewest best whose probability together is at least top_p, lower ids first among equals; at
/// least one. Source: Holtzman et al. 2020; HF TopPLogitsWarper.
std::span<Candidate> keep_top_p(std::span<Candidate> candidates, float top_p);

/// Those with at least min_p times the best one's probability. Source: HF MinPLogitsWarper.
std::span<Candidate> keep_min_p(std::span<Candidate> candidates, float min_p);

/// What a draw depends on beside the candidates; see base/philox.h.
struct DrawKey {
  std::uint64_t seed = 0;
  std::uint32_t sequence_index = 0;
  std::uint32_t position = 0;
};

/// The candidate with the largest score + gumbel(draw_word(…)), the lowest id on a tie: a draw from
/// softmax(scores). There must be one.
std::int32_t draw(std::span<const Candidate> candidates, const DrawKey& key);

/// The index of the largest score, the lowest on a tie. NaN is smaller than any number; 0 when
/// nothing is above -inf.
std::int32_t argmax(std::span<const float> scores);

}  // namespace quern::cpu
