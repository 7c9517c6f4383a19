#pragma once

#include <climits>
#include <cstdint>

#include "kernels/sample/sampling_filter.cuh"

namespace quern::kernels {

/// Whether a row has filters beyond top-k, top-p and min-p.
__device__ inline bool has_extended_filters(const SamplingRow& row) {
  return row.top_n_sigma > 0.0f || row.typical_p < 1.0f || row.epsilon_cutoff > 0.0f ||
         row.eta_cutoff > 0.0f || row.xtc_probability > 0.0f || row.mirostat_tau > 0.0f;
}

/// What remains of a row after the other filters, too.
struct ExtendedSurvivors : SurvivorsOfThreshold {
  float expected = 0.0f;       ///< the score of a token of average information
  std::uint32_t nearness = 0;  ///< ordered(): scores that are less near to `expected` are out
  std::uint64_t ceiling = ~std::uint64_t{0};  ///< better candidates are out

  __device__ std::uint32_t nearness_of(float score) const {
    return ordered(-fabsf(expected - score));
  }
  __device__ bool hold(float score, int id) const {
    return SurvivorsOfThreshold::hold(score, id) && nearness_of(score) >= nearness &&
           candidate(score, id) <= ceiling;
  }
};

/// The filters that need sums over a row's survivors. Every block adds up its slice, publishes the
/// sums, waits for the others and adds up all slices in order, so that all take the same decision.
template <int kThreads>
class ExtendedFilter : public SamplingFilter<kThreads, ExtendedSurvivors> {
  using Base = SamplingFilter<kThreads, ExtendedSurvivors>;
  using Base::blocks_;
  using Base::scratch_;
  using Base::survivors_;

 public:
  /// `best`: the row's largest score; `best_id`: its id.
  __device__ ExtendedFilter(const ScoresSlice& slice, float best, int best_id,
                            const SampleScratch& scratch, RowBlocks& blocks,
                            typename Base::SharedMemory& shared)
      : Base(slice, best, scratch, blocks, shared), best_id_(best_id) {}

  __device__ void keep_top_n_sigma(float n) {
    const Sums sums = row_sums([](double delta) { return Sums{{1.0, delta, delta * delta}}; });
    const double mean = sums.of[1] / sums.of[0];
    const double variance = fmax(0.0, sums.of[2] / sums.of[0] - mean * mean);
    survivors_.raise(ordered(__double2float_ru(survivors_.best - n * sqrt(variance))));
  }

  __device__ void keep_top_k(int k) {
    const std::uint32_t threshold = survivors_.threshold;
    Base::keep_top_k(k);
    survivors_.raise(threshold);
  }

  __device__ void keep_min_p(float min_p) { keep_weights(min_p); }

  /// Information -log p, less the entropy, is `expected` - score.
  __device__ void keep_typical(float typical_p) {
    const Sums sums = weight_sums();
    survivors_.expected = static_cast<float>(survivors_.best + sums.of[1] / sums.of[0]);
    const auto crossing = Base::find_crossing(
        [typical_p](std::uint64_t total) { return top_p_target(typical_p, total); },
        [this](float score) { return Base::mass_of(score); },
        [this](float score) { return survivors_.nearness_of(score); });
    survivors_.nearness = crossing.key;
    // The most probable token may be too probable.
    set_best(row_max([](float score, int id) { return candidate(score, id); }));
  }

  __device__ void keep_epsilon(float epsilon) {
    keep_weights(static_cast<double>(epsilon) * weight_sums().of[0]);
  }

  __device__ void keep_eta(float eta) {
    const Sums sums = weight_sums();
    const double entropy = log(sums.of[0]) - sums.of[1] / sums.of[0];
    const double epsilon = eta;
    keep_weights(fmin(epsilon, sqrt(epsilon) * exp(-entropy)) * sums.of[0]);
  }

  __device__ void exclude_top_choices(float threshold) {
    const double weight = static_cast<double>(threshold) * weight_sums().of[0];
    const std::uint64_t least = least_with(weight);
    if (least == 0) return;
    survivors_.ceiling = least;
    set_best(least);
  }

  /// Mirostat: a surprise of at most `mu` bits, else the best token alone.
  __device__ void keep_surprise(float mu) {
    const double weight = weight_sums().of[0] * exp2(-static_cast<double>(mu));
    if (weight <= 1.0) return keep_weights(weight);
    survivors_.raise(ordered(survivors_.best));
    survivors_.last_tie = min(survivors_.last_tie, best_id_);
  }

  /// Publishes the surprise, in bits, of the slice's own candidate `drawn`, a result of draw().
  /// That of the row's candidate is where its slice is.
  __device__ void publish_surprise(std::uint64_t drawn) {
    const double sum = weight_sums().of[0];
    if (threadIdx.x != 0) return;
    const int id = candidate_id(drawn);
    const ScoresSlice& slice = Base::slice_;
    const float score = slice.holds(id) ? slice.scores[id - slice.begin] : survivors_.best;
    constexpr double kLog2E = 1.4426950408889634;
    const double weight = expf(score - survivors_.best);
    scratch_.surprises[blocks_.index()] = kLog2E * (log(sum) - log(weight));
  }

  __device__ std::uint64_t draw(const DrawKey& key) const { return Base::draw(key, best_id_); }

 private:
  struct Sums {
    double of[kSampleSums];
  };

  __device__ void set_best(std::uint64_t key) {
    survivors_.best = candidate_score(key);
    best_id_ = candidate_id(key);
  }

  /// Keeps tokens with exp(score - best) >= weight, and the best one.
  __device__ void keep_weights(double weight) {
    const std::uint64_t least = least_with(fmin(weight, 1.0));
    survivors_.raise(static_cast<std::uint32_t>(least >> 32));
  }

  /// The worst candidate with exp(score - best) >= weight; 0 where there is none.
  __device__ std::uint64_t least_with(double weight) {
    const std::uint64_t complement = row_max([&](float score, int id) {
      const bool counts = expf(score - survivors_.best) >= weight;
      return counts ? ~candidate(score, id) : std::uint64_t{0};
    });
    return complement == 0 ? 0 : ~complement;
  }

  /// Σ w and Σ w · (score - best), w = exp(score - best).
  __device__ Sums weight_sums() {
    return row_sums([](double delta) {
      const double weight = expf(static_cast<float>(delta));
      return Sums{{weight, weight * delta, 0.0}};
    });
  }

  /// Sums over the survivors of terms(score - best).
  template <typename Terms>
  __device__ Sums row_sums(const Terms& terms) {
    Sums own{};
    Base::for_each_survivor([&](int, float score) {
      const Sums term = terms(score - survivors_.best);
      for (int i = 0; i < kSampleSums; ++i) own.of[i] += term.of[i];
    });
    double* set = next_set();
    for (int i = 0; i < kSampleSums; ++i) {
      const double sum = block_sum(own.of[i]);
      if (threadIdx.x == 0) set[i * blocks_.count() + blocks_.index()] = sum;
    }
    blocks_.wait_for_all();
    Sums total{};
    for (int i = 0; i < kSampleSums; ++i) {
      for (int block = threadIdx.x; block < blocks_.count(); block += kThreads) {
        total.of[i] += __ldcg(set + i * blocks_.count() + block);
      }
      total.of[i] = block_sum(total.of[i]);
    }
    return total;
  }

  /// The largest of key_of(score, id) over the survivors; 0 where there are none.
  template <typename KeyOf>
  __device__ std::uint64_t row_max(const KeyOf& key_of) {
    std::uint64_t own = 0;
    Base::for_each_survivor([&](int id, float score) { own = max(own, key_of(score, id)); });
    own = block_max(own);
    double* set = next_set();
    if (threadIdx.x == 0) set[blocks_.index()] = __longlong_as_double(static_cast<long long>(own));
    blocks_.wait_for_all();
    std::uint64_t largest = 0;
    for (int block = threadIdx.x; block < blocks_.count(); block += kThreads) {
      const auto key = static_cast<std::uint64_t>(__double_as_longlong(__ldcg(set + block)));
      largest = max(largest, key);
    }
    return block_max(largest);
  }

  /// Two sets in turn: one was last read before the last barrier but one.
  __device__ double* next_set() {
    round_ = (round_ + 1) % kSampleSumSets;
    return scratch_.sums + round_ * kSampleSums * blocks_.count();
  }

  int best_id_;
  int round_ = 0;
};

}  // namespace quern::kernels
