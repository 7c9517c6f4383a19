#pragma once

#include <cstdint>

#include "kernels/common/candidate.cuh"
#include "kernels/common/philox.cuh"
#include "kernels/common/scan.cuh"
#include "kernels/sampling_row.h"

namespace quern::kernels {

/// What top-k, top-p and min-p leave of a row. Scores are logits over temperature; NaN and -inf are
/// never left.
struct Survivors {
  std::uint32_t threshold;  ///< ordered(): smaller scores are out
  int last_tie;             ///< ids above it are out where their score is the threshold
  float best;               ///< the largest score
  float min_p;              ///< 0: off

  __device__ bool hold(float score, int id) const {
    if (!(score > kLowest)) return false;
    const std::uint32_t key = ordered(score);
    if (key < threshold || (key == threshold && id > last_tie)) return false;
    return min_p == 0.0f || expf(score - best) >= min_p;
  }
};

/// A row for the filters: its scores are in global memory, perhaps just written by other blocks.
struct ScoreRow {
  const float* values;
  int count;
  float temperature;

  __device__ float operator[](int id) const { return __ldcg(values + id) / temperature; }
};

/// Sums of weights by bin in shared memory. 64 bits in two words, which are added to without a loop
/// however many threads meet in one bin.
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

/// Filters a row and draws from it, by one block. First a floor is found under which nothing can
/// matter; then a threshold digit by digit from the top: each pass over the row sums a weight by
/// the next digit of the scores that are not yet decided. Weights are integers, so that the order
/// of the additions does not matter.
template <int kThreads>
class SamplingFilter {
 public:
  static constexpr int kBins = 2048;
  static constexpr int kMaxListed = 2048;

  /// Scratch in shared memory.
  struct SharedMemory {
    union {
      WeightBins<kBins> bins;
      float maxima[kThreads];
    };
    int ids[kMaxListed];
    int num_ids;
  };

  __device__ SamplingFilter(const ScoreRow& row, float best, SharedMemory& shared)
      : row_(row), shared_(shared), survivors_{0, row.count, best, 0.0f} {}

  /// The k best, and ties with the last of them.
  __device__ void keep_top_k(int k) {
    if (k >= row_.count) return;
    raise_floor(kth_largest_of_threads(k));
    list_survivors();
    const auto one = [](float) { return std::uint64_t{1}; };
    const Crossing crossing = find_crossing(static_cast<std::uint64_t>(k), one);
    survivors_.threshold = crossing.key;
    if (crossing.key > 0) raise_floor(from_ordered(crossing.key));
  }

  /// The fewest best whose probability together is at least top_p, lower ids first among equals.
  __device__ void keep_top_p(float top_p) {
    const auto mass = [this](float score) { return mass_of(score); };
    std::uint64_t sum = 0;
    for_each_survivor([&](int, float score) { sum += mass_of(score); });
    const auto total = static_cast<double>(block_sum(sum));
    // Tokens below this could all go together and leave top_p.
    raise_floor(survivors_.best + logf(0.99f * (1.0f - top_p) * static_cast<float>(total / kUnit) /
                                       static_cast<float>(row_.count)));
    list_survivors();
    const auto target = static_cast<std::uint64_t>(ceil(static_cast<double>(top_p) * total));
    const Crossing crossing = find_crossing(max(std::uint64_t{1}, target), mass);
    survivors_.threshold = crossing.key;
    raise_floor(from_ordered(crossing.key));
    if (crossing.missing >= crossing.weight) return;  // all of the threshold's score
    const std::uint64_t each = mass_of(from_ordered(crossing.key));
    const std::uint64_t kept = (crossing.missing + each - 1) / each;
    if (kept < crossing.weight / each) keep_first_ties(static_cast<int>(kept));
  }

  __device__ void keep_min_p(float min_p) { survivors_.min_p = min_p; }

  /// The survivor with the largest score + gumbel, the lowest id on a tie.
  __device__ int draw(const DrawKey& key, int best_id) const {
    std::uint64_t winner = perturbed(survivors_.best, best_id, key);
    const float bound = candidate_score(winner);
    for_each_survivor([&](int id, float score) {
      if (score + kLargestGumbel < bound) return;
      winner = max(winner, perturbed(score, id, key));
    });
    return candidate_id(block_max(winner));
  }

 private:
  /// Where the weights, summed from the best score down, reach a target.
  struct Crossing {
    std::uint32_t key;      ///< ordered() score
    std::uint64_t missing;  ///< what the better ones lack
    std::uint64_t weight;   ///< of all that have this score
  };

  __device__ static std::uint64_t perturbed(float score, int id, const DrawKey& key) {
    const uint4 words = draw_words(key, static_cast<std::uint32_t>(id) / 4);
    const std::uint32_t word = id % 4 == 0   ? words.x
                               : id % 4 == 1 ? words.y
                               : id % 4 == 2 ? words.z
                                             : words.w;
    return candidate(score + gumbel(word), id);
  }

  static constexpr double kUnit = 0x1p44;  ///< 2^19 of them fit into 64 bits

  /// exp(score - best) in units.
  __device__ std::uint64_t mass_of(float score) const {
    return __float2ull_rn(expf(score - survivors_.best) * static_cast<float>(kUnit));
  }

  /// Says that no score below `score` will survive. Kept as a logit, a little lower than it must
  /// be.
  __device__ void raise_floor(float score) {
    const float logit = score * row_.temperature;
    floor_ = fmaxf(floor_, logit - 1e-5f * fabsf(logit));
  }

  /// Where few enough may survive, lists them: later passes then go over the list.
  __device__ void list_survivors() {
    if (is_listed_) return;
    __syncthreads();
    if (threadIdx.x == 0) shared_.num_ids = 0;
    __syncthreads();
    for_each_survivor([&](int id, float) {
      const int place = atomicAdd(&shared_.num_ids, 1);
      if (place < kMaxListed) shared_.ids[place] = id;
    });
    __syncthreads();
    is_listed_ = shared_.num_ids <= kMaxListed;
  }

  /// visit(id, score) for each survivor so far, a thread taking its share.
  template <typename Visit>
  __device__ void for_each_survivor(const Visit& visit) const {
    if (is_listed_) {
      for (int i = threadIdx.x; i < shared_.num_ids; i += kThreads) {
        const int id = shared_.ids[i];
        const float score = row_[id];
        if (survivors_.hold(score, id)) visit(id, score);
      }
      return;
    }
    constexpr int kInFlight = 16;
    for (int begin = threadIdx.x; begin < row_.count; begin += kInFlight * kThreads) {
      float logits[kInFlight];
#pragma unroll
      for (int i = 0; i < kInFlight; ++i) {
        const int id = begin + i * kThreads;
        logits[i] = id < row_.count ? __ldcg(row_.values + id) : kLowest;
      }
#pragma unroll
      for (int i = 0; i < kInFlight; ++i) {
        if (!(logits[i] > kLowest) || logits[i] < floor_) continue;
        const int id = begin + i * kThreads;
        const float score = logits[i] / row_.temperature;
        if (survivors_.hold(score, id)) visit(id, score);
      }
    }
  }

  /// The k-th largest of the threads' largest scores: at least k scores are as large.
  __device__ float kth_largest_of_threads(int k) {
    if (k > kThreads) return kLowest;
    float largest = kLowest;
    for_each_survivor([&](int, float score) { largest = fmaxf(largest, score); });
    shared_.maxima[threadIdx.x] = largest;
    __syncthreads();
    int better = 0;
    for (int i = 0; i < kThreads; ++i) {
      const float other = shared_.maxima[i];
      if (other > largest || (other == largest && i < static_cast<int>(threadIdx.x))) ++better;
    }
    return block_max(better == k - 1 ? largest : kLowest);
  }

  /// `target` must not be more than the weights' sum, unless everything survives.
  template <typename Weight>
  __device__ Crossing find_crossing(std::uint64_t target, const Weight& weight) {
    Crossing crossing{0, target, 0};
    std::uint32_t decided = 0;  // the bits above this level's digit
    for (const int shift : {21, 10, 0}) {
      for (int i = threadIdx.x; i < kBins; i += kThreads) {
        shared_.bins.low[i] = 0;
        shared_.bins.high[i] = 0;
      }
      __syncthreads();
      for_each_survivor([&](int, float score) {
        const std::uint32_t key = ordered(score);
        if ((key & decided) != crossing.key) return;
        shared_.bins.add((key & ~decided) >> shift, weight(score));
      });
      __syncthreads();
      if (!find_bin(shift, crossing)) return {0, 0, 0};
      decided = ~0u << shift;
    }
    return crossing;
  }

  static constexpr int kBinsPerThread = kBins / kThreads;

  /// Takes the next digit of the crossing from the bins; false when they do not reach the target.
  __device__ bool find_bin(int shift, Crossing& crossing) const {
    __shared__ Crossing found;
    const int top = kBins - 1 - static_cast<int>(threadIdx.x) * kBinsPerThread;
    std::uint64_t sum = 0;
    for (int i = 0; i < kBinsPerThread; ++i) sum += shared_.bins.of(top - i);
    std::uint64_t above = block_exclusive_sum(sum);
    bool crosses = false;
    for (int i = 0; i < kBinsPerThread; ++i) {
      const std::uint64_t weight = shared_.bins.of(top - i);
      if (above < crossing.missing && above + weight >= crossing.missing) {
        const auto bin = static_cast<std::uint32_t>(top - i);
        found = {crossing.key | bin << shift, crossing.missing - above, weight};
        crosses = true;
      }
      above += weight;
    }
    if (!__syncthreads_or(crosses)) return false;
    crossing = found;
    __syncthreads();
    return true;
  }

  /// Of the ids whose score is the threshold, keeps the `count` lowest.
  __device__ void keep_first_ties(int count) {
    __shared__ int last;
    int seen = 0;
    for (int begin = 0; begin < row_.count; begin += kThreads) {
      const int id = begin + static_cast<int>(threadIdx.x);
      const bool tie = id < row_.count && ordered(row_[id]) == survivors_.threshold;
      const int before = seen + static_cast<int>(block_exclusive_sum(std::uint64_t{tie}));
      if (tie && before + 1 == count) last = id;
      seen += __syncthreads_count(tie);
      if (seen >= count) break;
    }
    survivors_.last_tie = last;
    __syncthreads();
  }

  ScoreRow row_;
  SharedMemory& shared_;
  Survivors survivors_;
  float floor_ = kLowest;  ///< logits below it are out
  bool is_listed_ = false;
};

}  // namespace quern::kernels
