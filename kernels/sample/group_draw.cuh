#pragma once

#include <cstdint>

#include "kernels/common/reduce.cuh"
#include "kernels/sample/candidate.cuh"
#include "kernels/sample/logits_processor.cuh"
#include "kernels/sample/sample.h"
#include "kernels/sample/sampling_filter.cuh"
#include "kernels/sample/scan.cuh"

namespace quern::kernels {

/// Consecutive tokens whose largest score their block publishes.
inline constexpr int kGroupTokens = kSampleGroupTokens;
/// The groups whose scores a block has room for.
inline constexpr int kGroupsAtOnce = 64;
/// The most groups of a row.
inline constexpr int kMaxGroups = 8192;

/// Whether the row's last block draws alone, see GroupDraw.
__device__ inline bool draws_from_groups(const SamplingRow& row, int num_groups) {
  return row.temperature > 0.0f && row.top_k > 0 && row.top_k <= kGroupsAtOnce &&
         num_groups <= kMaxGroups;
}

/// Scores of several groups of a row, in shared memory; the same operations as ScoresSlice.
struct GroupedScores {
  float* scores;      ///< [count]
  const int* groups;  ///< in ascending order
  int count;
  int vocab_size;

  __device__ int id_of(int place) const {
    return groups[place / kGroupTokens] * kGroupTokens + place % kGroupTokens;
  }
  __device__ int place_of(int id) const {
    if (id < 0 || id >= vocab_size) return -1;  // the last group may be wider
    int begin = 0;
    for (int end = count / kGroupTokens; begin < end;) {
      const int middle = (begin + end) / 2;
      if (groups[middle] < id / kGroupTokens) {
        begin = middle + 1;
      } else {
        end = middle;
      }
    }
    const bool found = begin * kGroupTokens < count && groups[begin] == id / kGroupTokens;
    return found ? begin * kGroupTokens + id % kGroupTokens : -1;
  }
};

/// Top-k up to kGroupsAtOnce, then top-p and min-p, and the draw, without a barrier over the row's
/// blocks: each publishes the largest score of each of its groups, and the last one finds the k-th
/// largest of them. No smaller score is among the k best, so the k best are in the groups that
/// reach it, about k of them, whose scores it computes again. The results are SamplingFilter's.
template <int kThreads>
class GroupDraw {
  /// At most k - 1 threads see a group above their k-th largest maximum, in kMaxGroups / kThreads.
  static constexpr int kMaxListed = kGroupsAtOnce * kGroupTokens;
  static_assert((kGroupsAtOnce - 1) * (kMaxGroups / kThreads) <= kMaxListed);

 public:
  struct SharedMemory {
    union {
      int counts[kMaxListed];  ///< scratch of the logits processors
      struct {
        alignas(16) float keys[kMaxListed + 4];  ///< what is listed, and up to three -inf
        std::uint16_t places[kMaxListed];
        float thread_maxima[kThreads];
      };
    };
    std::uint64_t best[kGroupsAtOnce];  ///< tokens above the k-th best score, best first
    int unsorted[kGroupsAtOnce];
    int groups[kGroupsAtOnce];
    int num_listed;
    int num_ties;
    int num_groups;
    int last_tie;
  };

  /// `maxima`: [num_groups] of scores / temperature, -inf where there is none. `best`: the row's
  /// largest score / temperature, which is finite. `scores`: room for kGroupsAtOnce groups.
  __device__ GroupDraw(const SamplingRow& row, int vocab_size, const float* maxima, int num_groups,
                       float best, float* scores, SharedMemory& shared)
      : row_(row),
        vocab_size_(vocab_size),
        maxima_(maxima),
        num_groups_(num_groups),
        best_(best),
        scores_(scores),
        shared_(shared) {}

  /// The draw: SamplingFilter::draw() over the whole row. `load(groups)`: computes scores /
  /// temperature of the groups of a GroupedScores, -inf beyond the vocabulary; starts and ends
  /// synchronized.
  template <typename Load>
  __device__ std::uint64_t draw(const DrawKey& key, int best_id, const Load& load) {
    const float reached = select_groups();  // the k-th largest maximum
    GroupedScores batch = {scores_, shared_.groups, shared_.num_groups * kGroupTokens, vocab_size_};
    load(batch, shared_.counts);
    const int num_above = list_above(batch, reached);
    // The groups at `reached` may be many more than fit. They matter where too few tokens are
    // above.
    const bool all_loaded = !too_many_ties_ || num_above >= row_.top_k;
    const float kth = num_above >= row_.top_k ? kth_largest(shared_.keys, num_above) : reached;
    const int num_best = sort_best(batch, num_above, kth);
    const auto visit_ties = [&](const auto& visit) {
      if (kth == kLowest) return;
      if (all_loaded) return visit(batch);
      for (int first = 0; first < num_groups_; first += kGroupsAtOnce) {
        if (!take_window(first, kth)) continue;
        batch.count = kGroupsAtOnce * kGroupTokens;
        load(batch, shared_.counts);
        visit(batch);
      }
    };

    std::uint64_t num_ties = 0;
    if (row_.top_p < 1.0f) {
      visit_ties([&](const GroupedScores& scores) { num_ties += count_ties(scores, kth); });
    }
    const Kept kept = keep_top_p(num_best, num_ties, kth);

    std::uint64_t winner = perturbed(best_, best_id, key);
    if (static_cast<int>(threadIdx.x) < kept.num_best) {
      const std::uint64_t token = shared_.best[threadIdx.x];
      winner = max(winner, drawn(candidate_score(token), candidate_id(token), key));
    }
    std::uint64_t ties_left = kept.num_ties;
    visit_ties([&](const GroupedScores& scores) {
      if (ties_left == 0) return;
      const int last = last_tie(scores, kth, ties_left);
      for (int i = threadIdx.x; i <= last; i += kThreads) {
        if (scores.scores[i] == kth) winner = max(winner, drawn(kth, scores.id_of(i), key));
      }
    });
    return block_max(winner);
  }

 private:
  struct Kept {
    int num_best;
    std::uint64_t num_ties;  ///< of tokens with the k-th best score
  };

  /// The row_.top_k-th largest of `count` values, followed by -inf up to a multiple of four; -inf
  /// where there are fewer. None is NaN.
  __device__ float kth_largest(const float* values, int count) const {
    float least = -INFINITY;  // the negative of the smallest of the k largest
    for (int i = threadIdx.x; i < count; i += kThreads) {
      const float value = values[i];
      int num_above = 0;
#pragma unroll 8
      for (int j = 0; j < count; j += 4) {
        const float4 others = *reinterpret_cast<const float4*>(values + j);
        num_above += (others.x > value ? 1 : 0) + (others.y > value ? 1 : 0) +
                     (others.z > value ? 1 : 0) + (others.w > value ? 1 : 0);
      }
      if (num_above < row_.top_k) least = fmaxf(least, -value);
    }
    return count < row_.top_k ? kLowest : -block_max(least);
  }

  /// Appends to the list. Its order is that of arrival.
  __device__ void list(float key, int place) {
    const int at = atomicAdd(&shared_.num_listed, 1);
    shared_.keys[at] = key;
    shared_.places[at] = static_cast<std::uint16_t>(place);
  }

  /// Ends the list, for kth_largest().
  __device__ int end_list() {
    __syncthreads();
    const int count = shared_.num_listed;
    if (threadIdx.x < 3) shared_.keys[count + static_cast<int>(threadIdx.x)] = kLowest;
    __syncthreads();
    return count;
  }

  /// Selects the groups that reach the k-th largest maximum, which it returns, or where these are
  /// too many those above it. -inf, which no group reaches, where there are fewer than k.
  __device__ float select_groups() {
    float largest = kLowest;
#pragma unroll 8
    for (int i = threadIdx.x; i < num_groups_; i += kThreads) {
      largest = fmaxf(largest, __ldcg(maxima_ + i));
    }
    shared_.thread_maxima[threadIdx.x] = largest;
    if (threadIdx.x == 0) shared_.num_listed = shared_.num_ties = shared_.num_groups = 0;
    __syncthreads();
    // A bound first, which leaves about k to list.
    const float bound = kth_largest(shared_.thread_maxima, kThreads);
#pragma unroll 4
    for (int i = threadIdx.x; i < num_groups_; i += kThreads) {
      const float key = __ldcg(maxima_ + i);
      if (key > bound) list(key, i);
      if (key == bound && bound > kLowest) {
        const int at = atomicAdd(&shared_.num_ties, 1);
        if (at < kGroupsAtOnce) shared_.unsorted[at] = i;
      }
    }
    const int count = end_list();
    if (count < row_.top_k) {
      add_groups(count, [bound](float key) { return key > bound; });
      add_tied_groups();
      sort_groups();
      return bound;
    }
    const float kth = kth_largest(shared_.keys, count);
    add_groups(count, [kth](float key) { return key > kth; });
    if (threadIdx.x == 0) shared_.num_ties = 0;
    __syncthreads();
    for (int i = threadIdx.x; i < count; i += kThreads) {
      if (shared_.keys[i] != kth) continue;
      const int at = atomicAdd(&shared_.num_ties, 1);
      if (at < kGroupsAtOnce) shared_.unsorted[at] = shared_.places[i];
    }
    __syncthreads();
    add_tied_groups();
    sort_groups();
    return kth;
  }

  /// Adds the listed groups with such a maximum: fewer than k.
  template <typename Selects>
  __device__ void add_groups(int count, const Selects& selects) {
    for (int i = threadIdx.x; i < count; i += kThreads) {
      if (selects(shared_.keys[i])) {
        shared_.groups[atomicAdd(&shared_.num_groups, 1)] = shared_.places[i];
      }
    }
    __syncthreads();
  }

  /// Adds the groups in `unsorted`, num_ties of them, or none where they do not fit.
  __device__ void add_tied_groups() {
    const int count = shared_.num_groups;
    const int num_ties = shared_.num_ties;
    too_many_ties_ = count + num_ties > kGroupsAtOnce;
    __syncthreads();
    if (too_many_ties_) return;
    if (static_cast<int>(threadIdx.x) < num_ties) {
      shared_.groups[count + threadIdx.x] = shared_.unsorted[threadIdx.x];
    }
    if (threadIdx.x == 0) shared_.num_groups = count + num_ties;
    __syncthreads();
  }

  __device__ void sort_groups() {
    const int count = shared_.num_groups;
    const bool moves = static_cast<int>(threadIdx.x) < count;
    const int group = moves ? shared_.groups[threadIdx.x] : 0;
    int place = 0;
    for (int i = 0; i < count; ++i) place += shared_.groups[i] < group ? 1 : 0;
    __syncthreads();
    if (moves) shared_.groups[place] = group;
    __syncthreads();
  }

  /// Lists the tokens above a score, at most those of kGroupsAtOnce groups.
  __device__ int list_above(const GroupedScores& batch, float bound) {
    if (threadIdx.x == 0) shared_.num_listed = 0;
    __syncthreads();
    for (int i = threadIdx.x; i < batch.count; i += kThreads) {
      if (batch.scores[i] > bound) list(batch.scores[i], i);
    }
    return end_list();
  }

  /// Sorts the listed tokens above the k-th best score, fewer than k; returns their number.
  __device__ int sort_best(const GroupedScores& batch, int count, float kth) {
    int num_best = 0;
    for (int begin = 0; begin < count; begin += kThreads) {
      const int i = begin + static_cast<int>(threadIdx.x);
      const bool is_best = i < count && shared_.keys[i] > kth;
      int place = 0;
      if (is_best) {
        const int own = shared_.places[i];  // in order of ids
        for (int j = 0; j < count; ++j) {
          const bool before = shared_.keys[j] > shared_.keys[i] ||
                              (shared_.keys[j] == shared_.keys[i] && shared_.places[j] < own);
          place += before ? 1 : 0;
        }
        shared_.best[place] = candidate(shared_.keys[i], batch.id_of(own));
      }
      num_best += __syncthreads_count(is_best);
    }
    return num_best;
  }

  /// Makes the groups from `first` on the selected ones, where one of them reaches a score.
  __device__ bool take_window(int first, float score) {
    const int group = first + static_cast<int>(threadIdx.x);
    bool reaches = false;
    __syncthreads();  // the window before has been read
    if (threadIdx.x < kGroupsAtOnce) {
      shared_.groups[threadIdx.x] = group;
      reaches = group < num_groups_ && __ldcg(maxima_ + group) >= score;
    }
    return __syncthreads_or(reaches) != 0;
  }

  __device__ std::uint64_t count_ties(const GroupedScores& batch, float score) const {
    std::uint64_t count = 0;
    for (int i = threadIdx.x; i < batch.count; i += kThreads) {
      count += batch.scores[i] == score ? 1 : 0;
    }
    return block_sum(count);
  }

  /// What top-p leaves of the best tokens, in their order, and of the ties behind them.
  __device__ Kept keep_top_p(int num_best, std::uint64_t num_ties, float kth) const {
    if (row_.top_p == 1.0f) return {num_best, ~std::uint64_t{0}};
    const bool is_best = static_cast<int>(threadIdx.x) < num_best;
    const std::uint64_t mass =
        is_best ? fixed_mass(candidate_score(shared_.best[threadIdx.x]), best_) : 0;
    const std::uint64_t before = block_exclusive_sum(mass);
    const std::uint64_t sum = block_sum(mass);
    const std::uint64_t each = num_ties > 0 ? fixed_mass(kth, best_) : 0;
    const std::uint64_t target = top_p_target(row_.top_p, sum + num_ties * each);
    const int kept = __syncthreads_count(is_best && before < target);
    if (sum >= target || each == 0) return {kept, 0};
    return {kept, min(num_ties, (target - sum + each - 1) / each)};
  }

  /// The place of the last of the `left` first ties, or of all scores where there are fewer ties;
  /// what is left is subtracted.
  __device__ int last_tie(const GroupedScores& batch, float score, std::uint64_t& left) {
    const std::uint64_t count = count_ties(batch, score);
    if (count <= left) {
      left -= count;
      return batch.count - 1;
    }
    std::uint64_t seen = 0;
    for (int begin = 0; begin < batch.count && seen < left; begin += kThreads) {
      const int i = begin + static_cast<int>(threadIdx.x);
      const bool tie = i < batch.count && batch.scores[i] == score;
      const std::uint64_t before = seen + block_exclusive_sum(std::uint64_t{tie});
      if (tie && before + 1 == left) shared_.last_tie = i;
      seen += static_cast<std::uint64_t>(__syncthreads_count(tie));
    }
    left = 0;
    return shared_.last_tie;
  }

  /// A survivor's key in the draw; 0 where min-p excludes it.
  __device__ std::uint64_t drawn(float score, int id, const DrawKey& key) const {
    if (row_.min_p > 0.0f && expf(score - best_) < row_.min_p) return 0;
    return perturbed(score, id, key);
  }

  const SamplingRow& row_;
  int vocab_size_;
  const float* maxima_;
  int num_groups_;
  float best_;
  float* scores_;
  SharedMemory& shared_;
  bool too_many_ties_ = false;
};

}  // namespace quern::kernels
