#pragma once

#include <climits>
#include <cstdint>

#include "kernels/common/philox.cuh"
#include "kernels/sample/candidate.cuh"
#include "kernels/sample/logits_processor.cuh"
#include "kernels/sample/row_blocks.cuh"
#include "kernels/sample/sample.h"
#include "kernels/sample/scan.cuh"

namespace quern::kernels {

/// A token's score + gumbel, as a key.
__device__ inline std::uint64_t perturbed(float score, int id, const DrawKey& key) {
  const uint4 words = draw_words(key, static_cast<std::uint32_t>(id) / 4);
  const std::uint32_t word = id % 4 == 0   ? words.x
                             : id % 4 == 1 ? words.y
                             : id % 4 == 2 ? words.z
                                           : words.w;
  return candidate(score + gumbel(word), id);
}

/// What remains of a row after top-k, top-p and min-p. Scores are logits / temperature; NaN and
/// -inf never remain.
struct SurvivorsOfThreshold {
  std::uint32_t threshold;  ///< ordered(): smaller scores are out
  int last_tie;             ///< ids above it are out where their score is the threshold
  float best;               ///< the largest score
  float min_p;              ///< 0: off

  /// Keeps only scores from this one on, of those that are left.
  __device__ void raise(std::uint32_t key) {
    if (key <= threshold) return;
    threshold = key;
    last_tie = INT_MAX;
  }

  __device__ bool hold(float score, int id) const {
    if (!(score > kLowest)) return false;
    const std::uint32_t key = ordered(score);
    if (key < threshold || (key == threshold && id > last_tie)) return false;
    return min_p == 0.0f || expf(score - best) >= min_p;
  }
};

/// exp(score - best) in fixed point: a sum of 2^19 of them fits into 64 bits.
__device__ inline std::uint64_t fixed_mass(float score, float best) {
  constexpr float kUnit = 0x1p44f;
  return __float2ull_rn(expf(score - best) * kUnit);
}

/// The mass that top-p keeps of a total.
__device__ inline std::uint64_t top_p_target(float top_p, std::uint64_t total) {
  const double target = ceil(static_cast<double>(top_p) * static_cast<double>(total));
  return max(std::uint64_t{1}, static_cast<std::uint64_t>(target));
}

/// The order of scores.
struct Ordered {
  __device__ std::uint32_t operator()(float score) const { return ordered(score); }
};

/// Per-bin sums of weights in shared memory: 64 bits as two 32-bit words, so that atomic additions
/// need no CAS loop under contention.
template <int kBins>
struct WeightBins {
  std::uint32_t low[kBins];
  std::uint32_t high[kBins];

  __device__ void add(std::uint32_t bin, std::uint64_t weight) {
    const auto low_weight = static_cast<std::uint32_t>(weight);
    const std::uint32_t before = atomicAdd(&low[bin], low_weight);
    const std::uint32_t carry = before > ~low_weight ? 1 : 0;
    const std::uint32_t high_weight = static_cast<std::uint32_t>(weight >> 32) + carry;
    if (high_weight > 0) atomicAdd(&high[bin], high_weight);
  }
  __device__ std::uint64_t of(int bin) const { return std::uint64_t{high[bin]} << 32 | low[bin]; }
};

/// Filters a row and draws from it; run by all blocks of the row, each with its slice of the scores
/// in shared memory. A threshold is found by radix selection from the top digit down: the blocks
/// build a histogram of weights by the next digit of the undecided scores, add it up in global
/// memory, wait for each other and read the same decision. Weights are integers, so that the order
/// of additions does not matter. All blocks call the same functions.
template <int kThreads, typename Survivors = SurvivorsOfThreshold>
class SamplingFilter {
 public:
  static constexpr int kBins = kSampleBins;
  using SharedMemory = WeightBins<kBins>;

  /// `slice`: scores / temperature. `best`: the row's largest. What clear() has cleared is visible
  /// to all blocks.
  __device__ SamplingFilter(const ScoresSlice& slice, float best, const SampleScratch& scratch,
                            RowBlocks& blocks, SharedMemory& shared)
      : slice_(slice),
        scratch_(scratch),
        blocks_(blocks),
        shared_(shared),
        survivors_{0, INT_MAX, best, 0.0f} {}

  /// Clears this block's share of the bins of all sets, before the blocks wait for each other.
  __device__ static void clear(const SampleScratch& scratch, const RowBlocks& blocks) {
    for (int set = 0; set < kSampleBinSets; ++set) clear_set(scratch, blocks, set);
  }

  /// Top-k, including ties with the last.
  __device__ void keep_top_k(int k) {
    const Crossing crossing =
        find_crossing([k](std::uint64_t) { return static_cast<std::uint64_t>(k); },
                      [](float) { return std::uint64_t{1}; });
    survivors_.threshold = crossing.key;
  }

  /// Top-p: the fewest best tokens with a total probability of at least top_p, lower ids first in
  /// ties.
  __device__ void keep_top_p(float top_p) {
    const Crossing crossing =
        find_crossing([top_p](std::uint64_t total) { return top_p_target(top_p, total); },
                      [this](float score) { return mass_of(score); });
    survivors_.threshold = max(survivors_.threshold, crossing.key);
    if (crossing.missing >= crossing.weight) return;  // all tokens at the threshold
    const std::uint64_t each = mass_of(from_ordered(crossing.key));
    const std::uint64_t kept = (crossing.missing + each - 1) / each;
    if (kept < crossing.weight / each) keep_first_ties(static_cast<int>(kept));
  }

  __device__ void keep_min_p(float min_p) { survivors_.min_p = min_p; }

  /// The slice's survivor with the largest score + gumbel, the lowest id in ties, or the row's best
  /// token, whose id is given.
  __device__ std::uint64_t draw(const DrawKey& key, int best_id) const {
    std::uint64_t winner = perturbed(survivors_.best, best_id, key);
    const float bound = candidate_score(winner);
    for_each_survivor([&](int id, float score) {
      if (score + kLargestGumbel < bound) return;
      winner = max(winner, perturbed(score, id, key));
    });
    return block_max(winner);
  }

 protected:
  /// Position where the cumulative weight, from the best score down, reaches a target.
  struct Crossing {
    std::uint32_t key;      ///< ordered() score: the first of the undecided
    std::uint64_t missing;  ///< target minus the weight of better scores
    std::uint64_t weight;   ///< of all undecided
  };

  __device__ std::uint64_t mass_of(float score) const { return fixed_mass(score, survivors_.best); }

  __device__ static void clear_set(const SampleScratch& scratch, const RowBlocks& blocks, int set) {
    for (int bin = blocks.index() * kThreads + static_cast<int>(threadIdx.x); bin < kBins;
         bin += blocks.count() * kThreads) {
      scratch.bins[set * kBins + bin] = 0;
    }
  }

  /// Calls visit(id, score) for each survivor in the slice, divided over the threads.
  template <typename Visit>
  __device__ void for_each_survivor(const Visit& visit) const {
    for (int i = threadIdx.x; i < slice_.count; i += kThreads) {
      const float score = slice_.scores[i];
      if (survivors_.hold(score, slice_.begin + i)) visit(slice_.begin + i, score);
    }
  }

  /// target_of(total weight): if the target is not reached, everything survives. `key_of`: the key
  /// of a score, by whose order the weights are added up, the largest first.
  template <typename TargetOf, typename Weight, typename KeyOf = Ordered>
  __device__ Crossing find_crossing(const TargetOf& target_of, const Weight& weight,
                                    const KeyOf& key_of = {}) {
    Crossing crossing{0, 0, 0};
    std::uint32_t decided = 0;  // prefix of the digits above this level's
    for (int shift = 21;; shift = max(shift - 11, 0)) {
      // Three sets in rotation: the next one was last read two levels ago, before the last barrier.
      const int set = level_ % kSampleBinSets;
      if (level_ >= kSampleBinSets - 1) {
        clear_set(scratch_, blocks_, (level_ + 1) % kSampleBinSets);
      }
      ++level_;
      add_weights(shift, decided, crossing.key, weight, key_of, scratch_.bins + set * kBins);
      blocks_.wait_for_all();
      if (!find_bin(scratch_.bins + set * kBins, shift, target_of, crossing)) return {0, 0, 0};
      if (crossing.missing >= crossing.weight || shift == 0) return crossing;
      decided = ~0u << shift;
    }
  }

  template <typename Weight, typename KeyOf>
  __device__ void add_weights(int shift, std::uint32_t decided, std::uint32_t prefix,
                              const Weight& weight, const KeyOf& key_of, std::uint64_t* bins) {
    for (int i = threadIdx.x; i < kBins; i += kThreads) {
      shared_.low[i] = 0;
      shared_.high[i] = 0;
    }
    __syncthreads();
    for_each_survivor([&](int, float score) {
      const std::uint32_t key = key_of(score);
      if ((key & decided) == prefix) shared_.add((key & ~decided) >> shift, weight(score));
    });
    __syncthreads();
    for (int i = threadIdx.x; i < kBins; i += kThreads) {
      const std::uint64_t sum = shared_.of(i);
      if (sum > 0) atomicAdd(reinterpret_cast<unsigned long long*>(bins + i), sum);
    }
  }

  /// Selects the next digit of the crossing from the bins; false when they do not reach the target.
  template <typename TargetOf>
  __device__ bool find_bin(const std::uint64_t* bins, int shift, const TargetOf& target_of,
                           Crossing& crossing) const {
    __shared__ Crossing found;
    constexpr int kBinsPerThread = kBins / kThreads;
    const int top = kBins - 1 - static_cast<int>(threadIdx.x) * kBinsPerThread;
    const auto weight_of = [&](int i) -> std::uint64_t {
      return __ldcg(reinterpret_cast<const unsigned long long*>(bins + top - i));
    };
    std::uint64_t sum = 0;
#pragma unroll
    for (int i = 0; i < kBinsPerThread; ++i) sum += weight_of(i);
    std::uint64_t above = block_exclusive_sum(sum);
    if (crossing.missing == 0) crossing.missing = target_of(block_sum(sum));
    const bool crosses = above < crossing.missing && above + sum >= crossing.missing;
    if (crosses) {
      int i = 0;
      std::uint64_t weight = weight_of(0);
      while (above + weight < crossing.missing) {
        above += weight;
        weight = weight_of(++i);
      }
      const auto bin = static_cast<std::uint32_t>(top - i);
      found = {crossing.key | bin << shift, crossing.missing - above, weight};
    }
    if (!__syncthreads_or(crosses)) return false;
    crossing = found;
    __syncthreads();
    return true;
  }

  /// Of the ids with the threshold's score, keeps the `count` lowest: the blocks exchange their
  /// counts.
  __device__ void keep_first_ties(int count) {
    const auto is_tie = [this](int i) {
      return i < slice_.count && ordered(slice_.scores[i]) == survivors_.threshold &&
             survivors_.hold(slice_.scores[i], slice_.begin + i);
    };
    int own = 0;
    for (int i = threadIdx.x; i < slice_.count; i += kThreads) own += is_tie(i) ? 1 : 0;
    own = block_sum(own);
    if (threadIdx.x == 0) scratch_.ties[blocks_.index()] = own;
    blocks_.wait_for_all();
    int seen = 0;
    for (int block = 0; block < blocks_.index(); ++block) seen += __ldcg(scratch_.ties + block);

    __shared__ int last;
    if (threadIdx.x == 0) last = seen < count ? INT_MAX : -1;
    __syncthreads();
    for (int begin = 0; begin < slice_.count && seen < count; begin += kThreads) {
      const int i = begin + static_cast<int>(threadIdx.x);
      const bool tie = is_tie(i);
      const int before = seen + static_cast<int>(block_exclusive_sum(std::uint64_t{tie}));
      if (tie && before + 1 == count) last = slice_.begin + i;
      seen += __syncthreads_count(tie);
    }
    __syncthreads();
    survivors_.last_tie = last;
  }

  ScoresSlice slice_;
  SampleScratch scratch_;
  RowBlocks& blocks_;
  SharedMemory& shared_;
  Survivors survivors_;
  int level_ = 0;  ///< sets of bins used so far
};

}  // namespace quern::kernels
