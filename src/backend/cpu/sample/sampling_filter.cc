#include "backend/cpu/sample/sampling_filter.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "base/check.h"
#include "base/philox.h"

namespace quern::cpu {
namespace {

auto best_of(std::span<const Candidate> candidates) {
  return std::max_element(candidates.begin(), candidates.end(),
                          [](const Candidate& a, const Candidate& b) { return a.score < b.score; });
}

/// Σ exp(score - best).
double mass_of(std::span<const Candidate> candidates, float best) {
  double mass = 0.0;
  for (const Candidate& candidate : candidates) mass += std::exp(candidate.score - best);
  return mass;
}

template <typename Predicate>
std::span<Candidate> keep_if(std::span<Candidate> candidates, const Predicate& predicate) {
  const auto end = std::partition(candidates.begin(), candidates.end(), predicate);
  return candidates.first(static_cast<std::size_t>(end - candidates.begin()));
}

/// Moves the first of the candidates in this order to the front: as few as have a mass of at least
/// `target`, but one. Returns their number; the last one is at its place.
template <typename Order>
std::size_t count_with_mass(std::span<Candidate> candidates, float best, double target,
                            const Order& order) {
  // Binary search in (begin, end]: the mass up to `begin` is too small, up to `end` large enough.
  std::size_t begin = 0;
  std::size_t end = candidates.size();
  double mass_before = 0.0;
  while (end - begin > 1) {
    const std::size_t middle = begin + (end - begin) / 2;
    std::nth_element(candidates.begin() + begin, candidates.begin() + middle,
                     candidates.begin() + end, order);
    const double mass = mass_of(candidates.subspan(begin, middle - begin), best);
    if (mass_before + mass >= target) {
      end = middle;
    } else {
      begin = middle;
      mass_before += mass;
    }
  }
  return end;
}

/// Weights exp(score - best) are probabilities times their sum.
struct Weights {
  float best = 0.0f;
  double sum = 0.0;
  double moment = 0.0;  ///< Σ weight · (score - best)
  double entropy() const { return std::log(sum) - moment / sum; }
};

Weights weights_of(std::span<const Candidate> candidates) {
  Weights weights;
  weights.best = best_of(candidates)->score;
  for (const Candidate& candidate : candidates) {
    const double weight = std::exp(candidate.score - weights.best);
    weights.sum += weight;
    weights.moment += weight * (candidate.score - weights.best);
  }
  return weights;
}

std::span<Candidate> keep_weights(std::span<Candidate> candidates, float best, double weight) {
  const double least = std::min(weight, 1.0);
  return keep_if(candidates, [=](const Candidate& c) { return std::exp(c.score - best) >= least; });
}

}  // namespace

std::span<Candidate> keep_top_k(std::span<Candidate> candidates, std::int32_t k,
                                std::span<float> scratch) {
  const auto count = static_cast<std::size_t>(k);
  if (count >= candidates.size()) return candidates;
  // A heap of the k best: one comparison for most candidates.
  const std::span<float> heap = scratch.first(count);
  for (std::size_t i = 0; i < count; ++i) heap[i] = candidates[i].score;
  std::make_heap(heap.begin(), heap.end(), std::greater<>());
  for (const Candidate& candidate : candidates.subspan(count)) {
    if (candidate.score <= heap.front()) continue;
    std::pop_heap(heap.begin(), heap.end(), std::greater<>());
    heap.back() = candidate.score;
    std::push_heap(heap.begin(), heap.end(), std::greater<>());
  }
  const float threshold = heap.front();
  return keep_if(candidates, [=](const Candidate& c) { return c.score >= threshold; });
}

std::span<Candidate> keep_top_p(std::span<Candidate> candidates, float top_p) {
  const float best = best_of(candidates)->score;
  const double total = mass_of(candidates, best);
  // Tokens below this bound lie outside top_p together; few are left to select from. The margin
  // covers the rounding of the sums.
  const double negligible = 0.99 * (1.0 - top_p) * total / static_cast<double>(candidates.size());
  candidates = keep_if(candidates,
                       [=](const Candidate& c) { return std::exp(c.score - best) >= negligible; });
  return candidates.first(count_with_mass(candidates, best, top_p * total, better));
}

std::span<Candidate> keep_min_p(std::span<Candidate> candidates, float min_p) {
  const float best = best_of(candidates)->score;
  return keep_if(candidates, [=](const Candidate& c) { return std::exp(c.score - best) >= min_p; });
}

std::span<Candidate> keep_top_n_sigma(std::span<Candidate> candidates, float n) {
  const float best = best_of(candidates)->score;
  double sum = 0.0;
  double squares = 0.0;
  for (const Candidate& candidate : candidates) {
    const double delta = double{candidate.score} - best;
    sum += delta;
    squares += delta * delta;
  }
  const auto count = static_cast<double>(candidates.size());
  const double mean = sum / count;
  const double deviation = std::sqrt(std::max(0.0, squares / count - mean * mean));
  const double threshold = best - n * deviation;
  return keep_if(candidates, [=](const Candidate& c) { return c.score >= threshold; });
}

std::span<Candidate> keep_typical(std::span<Candidate> candidates, float typical_p) {
  const Weights weights = weights_of(candidates);
  // -log p, less the entropy, is this less the score.
  const auto expected = static_cast<float>(weights.best + weights.moment / weights.sum);
  const auto distance = [=](const Candidate& c) { return std::abs(expected - c.score); };
  const std::size_t count = count_with_mass(
      candidates, weights.best, typical_p * weights.sum,
      [&](const Candidate& a, const Candidate& b) { return distance(a) < distance(b); });
  float farthest = 0.0f;
  for (const Candidate& candidate : candidates.first(count)) {
    farthest = std::max(farthest, distance(candidate));
  }
  return keep_if(candidates, [=](const Candidate& c) { return distance(c) <= farthest; });
}

std::span<Candidate> keep_epsilon(std::span<Candidate> candidates, float epsilon) {
  const Weights weights = weights_of(candidates);
  return keep_weights(candidates, weights.best, epsilon * weights.sum);
}

std::span<Candidate> keep_eta(std::span<Candidate> candidates, float eta) {
  const Weights weights = weights_of(candidates);
  const double epsilon = eta;
  const double least = std::min(epsilon, std::sqrt(epsilon) * std::exp(-weights.entropy()));
  return keep_weights(candidates, weights.best, least * weights.sum);
}

std::span<Candidate> exclude_top_choices(std::span<Candidate> candidates, float threshold) {
  const Weights weights = weights_of(candidates);
  const double weight = threshold * weights.sum;
  const Candidate* kept = nullptr;
  for (const Candidate& candidate : candidates) {
    if (std::exp(candidate.score - weights.best) < weight) continue;
    if (kept == nullptr || better(*kept, candidate)) kept = &candidate;
  }
  if (kept == nullptr) return candidates;
  return keep_if(candidates, [least = *kept](const Candidate& c) { return !better(c, least); });
}

std::span<Candidate> keep_surprise(std::span<Candidate> candidates, float mu) {
  const Weights weights = weights_of(candidates);
  const double weight = weights.sum * std::exp2(-double{mu});
  if (weight <= 1.0) return keep_weights(candidates, weights.best, weight);
  std::iter_swap(candidates.begin(),
                 std::min_element(candidates.begin(), candidates.end(), better));
  return candidates.first(1);
}

double surprise_of(std::span<const Candidate> candidates, std::int32_t id) {
  const Weights weights = weights_of(candidates);
  const auto it = std::ranges::find(candidates, id, &Candidate::id);
  QUERN_CHECK(it != candidates.end());
  const double weight = std::exp(it->score - weights.best);
  return std::log2(weights.sum) - std::log2(weight);
}

std::int32_t draw(std::span<const Candidate> candidates, const DrawKey& key) {
  QUERN_CHECK(!candidates.empty());
  // The Gumbel variate of word 0 is the maximum, so most tokens need no draw.
  static const float largest_gumbel = gumbel(0);
  const auto perturbed = [&](const Candidate& candidate) {
    const std::uint32_t word = draw_word(key.seed, key.sequence_index, key.position,
                                         static_cast<std::uint32_t>(candidate.id));
    return Candidate{candidate.score + gumbel(word), candidate.id};
  };
  Candidate winner = perturbed(*best_of(candidates));
  for (const Candidate& candidate : candidates) {
    if (candidate.score + largest_gumbel < winner.score) continue;
    const Candidate challenger = perturbed(candidate);
    if (better(challenger, winner)) winner = challenger;
  }
  return winner.id;
}

std::int32_t argmax(std::span<const float> scores) {
  float best = -std::numeric_limits<float>::infinity();
  std::size_t index = 0;
  for (std::size_t i = 0; i < scores.size(); ++i) {
    if (scores[i] > best) {
      best = scores[i];
      index = i;
    }
  }
  return static_cast<std::int32_t>(index);
}

}  // namespace quern::cpu
