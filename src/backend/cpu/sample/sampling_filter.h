#pragma once

#include <cstdint>
#include <span>

namespace quern::cpu {

/// A candidate of the draw.
struct Candidate {
  float score = 0.0f;  ///< logit / temperature
  std::int32_t id = 0;
};

/// Order of candidates: larger scores first, lower ids among equals.
inline bool better(const Candidate& a, const Candidate& b) {
  return a.score != b.score ? a.score > b.score : a.id < b.id;
}

// Each filter moves the survivors to the front and returns them. Scores are finite. No filter sorts
// all candidates.

/// Top-k, including ties with the last. `scratch` has room for k floats. Source: HF
/// TopKLogitsWarper.
std::span<Candidate> keep_top_k(std::span<Candidate> candidates, std::int32_t k,
                                std::span<float> scratch);

/// Top-p: the fewest best with a total probability of at least top_p, lower ids first in ties; at
/// least one. Source: Holtzman et al. 2020; HF TopPLogitsWarper.
std::span<Candidate> keep_top_p(std::span<Candidate> candidates, float top_p);

/// Min-p: those with at least min_p times the best one's probability. Source: HF MinPLogitsWarper.
std::span<Candidate> keep_min_p(std::span<Candidate> candidates, float min_p);

/// Top-nσ: those whose score is within n standard deviations of all scores from the best one.
/// Source: Tang et al. 2024; llama.cpp.
std::span<Candidate> keep_top_n_sigma(std::span<Candidate> candidates, float n);

/// Typical-p: those whose information, -log p, is nearest to the entropy and that together have a
/// probability of at least typical_p, with ties. Source: Meister et al. 2022; HF
/// TypicalLogitsWarper.
std::span<Candidate> keep_typical(std::span<Candidate> candidates, float typical_p);

/// Those with a probability of at least epsilon, and the best. Source: Hewitt et al. 2022; HF
/// EpsilonLogitsWarper.
std::span<Candidate> keep_epsilon(std::span<Candidate> candidates, float epsilon);

/// Those with a probability of at least min(eta, √eta · exp(-entropy)), and the best. Source:
/// Hewitt et al. 2022; HF EtaLogitsWarper.
std::span<Candidate> keep_eta(std::span<Candidate> candidates, float eta);

/// XTC: of those with a probability of at least `threshold` only the least probable stays (the
/// highest id in ties). Source: text-generation-webui (p-e-w); llama.cpp.
std::span<Candidate> exclude_top_choices(std::span<Candidate> candidates, float threshold);

/// Mirostat v2: those of a surprise -log2 p of at most `mu`, else the best alone. Source: Basu et
/// al. 2021; llama.cpp.
std::span<Candidate> keep_surprise(std::span<Candidate> candidates, float mu);

/// The surprise -log2 p of one of the candidates.
double surprise_of(std::span<const Candidate> candidates, std::int32_t id);

/// The key of a draw, except for the candidates; see base/philox.h.
struct DrawKey {
  std::uint64_t seed = 0;
  std::uint32_t sequence_index = 0;
  std::uint32_t position = 0;
};

/// The candidate with the largest score + gumbel(draw_word(…)), the lowest id in ties: a sample
/// from softmax(scores) (Gumbel-max). There must be a candidate.
std::int32_t draw(std::span<const Candidate> candidates, const DrawKey& key);

/// Index of the largest score, the lowest in ties. NaN is less than any number; 0 when nothing is
/// above -inf.
std::int32_t argmax(std::span<const float> scores);

}  // namespace quern::cpu
