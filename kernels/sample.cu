#include "kernels/common/candidate.cuh"
#include "kernels/common/last_block.cuh"
#include "kernels/common/launch.h"
#include "kernels/common/logits_processor.cuh"
#include "kernels/common/philox.cuh"
#include "kernels/common/sampling_filter.cuh"
#include "kernels/sample.h"

namespace quern::kernels {
namespace {

constexpr int kThreads = 512;
using Filter = SamplingFilter<kThreads>;

/// A block's scratch: first its part of the scores, then, in the last block, the filter's.
union SharedMemory {
  struct {
    float scores[kSamplePartTokens];
    int counts[kSamplePartTokens];
  } part;
  Filter::SharedMemory filter;
};

__device__ bool has_filters(const SamplingRow& row) {
  return row.temperature > 0.0f && (row.top_k > 0 || row.top_p < 1.0f || row.min_p > 0.0f);
}

/// One row of logits, and the sequence that it is for.
struct Row {
  int index;  ///< of the logits
  int state_row;
  const float* logits;
  const SamplingRow& sampling;
  TokenHistory history;
  DrawKey draw;
};

__device__ Row row_of(const SampleParams& p, int index) {
  const int state_row = p.state_index[p.logit_seqs[index]];
  const SamplingRow& sampling = p.sampling[state_row];
  const int generated = p.generated[state_row];
  const int length = p.prompt_len[state_row] + generated;
  return {index,
          state_row,
          p.logits + index * p.row_stride,
          sampling,
          {p.history + state_row * p.history_stride, length, generated},
          {sampling.seed, sampling.sequence_index, static_cast<std::uint32_t>(length)}};
}

/// What the ring needs of the raw logits, into `result`.
__device__ void summarize_logits(const Row& row, const ScoresPart& part, SamplePart& result) {
  float largest = kLowest;
  for (int i = threadIdx.x; i < part.count; i += kThreads) {
    largest = fmaxf(largest, part.scores[i]);
  }
  largest = block_max(largest);
  const float reference = largest == kLowest ? 0.0f : largest;
  double sum = 0.0;
  for (int i = threadIdx.x; i < part.count; i += kThreads) {
    sum += expf(part.scores[i] - reference);
  }
  sum = block_sum(sum);
  if (threadIdx.x == 0) {
    result.largest = largest;
    result.sum = sum;
  }
  std::uint64_t previous = ~std::uint64_t{0};
  for (int i = 0; i < row.sampling.num_top_logprobs; ++i) {
    previous = next_best(part.count, previous,
                         [&](int id) { return candidate(part.scores[id], part.begin + id); });
    if (threadIdx.x == 0) result.top[i] = previous;
  }
}

/// All that comes before temperature.
__device__ void process(const Row& row, const ScoresPart& part, int* counts) {
  const SamplingRow& sampling = row.sampling;
  if (sampling.repetition_penalty != 1.0f) {
    penalize_repetition(row.history, sampling.repetition_penalty, row.logits, part);
  }
  if (sampling.presence_penalty != 0.0f || sampling.frequency_penalty != 0.0f) {
    penalize_generated(row.history, sampling.presence_penalty, sampling.frequency_penalty, part,
                       counts);
  }
  if (sampling.no_repeat_ngram_size > 0) {
    ban_repeated_ngrams(row.history, sampling.no_repeat_ngram_size, part);
  }
  add_logit_bias(sampling, part);
}

/// The part's draw from the unfiltered distribution; 0 where there is none.
__device__ std::uint64_t draw_from_part(const Row& row, const ScoresPart& part) {
  std::uint64_t winner = 0;
  for (int i = 4 * static_cast<int>(threadIdx.x); i < part.count; i += 4 * kThreads) {
    const uint4 quad = draw_words(row.draw, static_cast<std::uint32_t>(part.begin + i) / 4);
    const std::uint32_t words[4] = {quad.x, quad.y, quad.z, quad.w};
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      if (i + j >= part.count) continue;
      const float score = part.scores[i + j] / row.sampling.temperature;
      if (!(score > kLowest)) continue;
      winner = max(winner, candidate(score + gumbel(words[j]), part.begin + i + j));
    }
  }
  return block_max(winner);
}

/// Finds what one part of a row has to say.
__device__ void examine_part(const SampleParams& p, const Row& row, SharedMemory& shared,
                             SamplePart& result) {
  const int begin = static_cast<int>(blockIdx.x) * kSamplePartTokens;
  const ScoresPart part{shared.part.scores, begin, min(kSamplePartTokens, p.vocab_size - begin)};
  for (int i = threadIdx.x; i < part.count; i += kThreads) {
    part.scores[i] = row.logits[begin + i];
  }
  __syncthreads();
  if (row.sampling.num_top_logprobs >= 0) summarize_logits(row, part, result);
  if (has_processors(row.sampling)) {
    process(row, part, shared.part.counts);
    float* scores = p.scores + std::int64_t{row.index} * p.vocab_size + begin;
    if (has_filters(row.sampling)) {
      for (int i = threadIdx.x; i < part.count; i += kThreads) scores[i] = part.scores[i];
    }
  }
  const std::uint64_t best = next_best(part.count, ~std::uint64_t{0},
                                       [&](int i) { return candidate(part.scores[i], begin + i); });
  const bool draws = row.sampling.temperature > 0.0f && !has_filters(row.sampling);
  const std::uint64_t drawn = draws ? draw_from_part(row, part) : 0;
  if (threadIdx.x == 0) {
    result.best = best;
    result.drawn = drawn;
  }
}

/// The row's token, from what its parts found. `parts` [count].
__device__ int choose(const SampleParams& p, const Row& row, const SamplePart* parts, int count,
                      SharedMemory& shared) {
  // The id is 0 when nothing is above -inf.
  const std::uint64_t best =
      max(candidate(kLowest, 0),
          next_best(count, ~std::uint64_t{0}, [&](int i) { return __ldcg(&parts[i].best); }));
  const int best_id = candidate_id(best);
  const SamplingRow& sampling = row.sampling;
  const float best_score = candidate_score(best) / sampling.temperature;
  // Infinity leaves nothing to draw, also where a tiny temperature makes it.
  if (sampling.temperature == 0.0f || !isfinite(best_score)) return best_id;
  if (!has_filters(sampling)) {
    return candidate_id(
        next_best(count, ~std::uint64_t{0}, [&](int i) { return __ldcg(&parts[i].drawn); }));
  }
  const float* scores =
      has_processors(sampling) ? p.scores + std::int64_t{row.index} * p.vocab_size : row.logits;
  Filter filter({scores, p.vocab_size, sampling.temperature}, best_score, shared.filter);
  if (sampling.top_k > 0) filter.keep_top_k(sampling.top_k);
  if (sampling.top_p < 1.0f) filter.keep_top_p(sampling.top_p);
  if (sampling.min_p > 0.0f) filter.keep_min_p(sampling.min_p);
  return filter.draw(row.draw, best_id);
}

/// log Σ exp(logits); NaN where a logit is NaN or +inf, or none is above -inf.
__device__ float log_sum_exp(const SamplePart* parts, int count) {
  float largest = kLowest;
  for (int i = threadIdx.x; i < count; i += kThreads) {
    largest = fmaxf(largest, __ldcg(&parts[i].largest));
  }
  largest = block_max(largest);
  double sum = 0.0;
  for (int i = threadIdx.x; i < count; i += kThreads) {
    sum += __ldcg(&parts[i].sum) * expf(__ldcg(&parts[i].largest) - largest);
  }
  return static_cast<float>(largest + log(block_sum(sum)));
}

/// Writes the log-probabilities of the chosen token and of the best ones to the ring; places
/// beyond the vocabulary become (-1, -inf).
__device__ void store_logprobs(const SampleParams& p, const Row& row, const SamplePart* parts,
                               int count, int token) {
  const float normalizer = log_sum_exp(parts, count);
  const std::int64_t cell = *p.ring_head % p.ring_capacity * p.ring_max_seqs + row.state_row;
  if (threadIdx.x == 0) p.ring_logprobs[cell] = row.logits[token] - normalizer;
  const int wanted = row.sampling.num_top_logprobs;
  std::uint64_t previous = ~std::uint64_t{0};
  for (int i = 0; i < wanted; ++i) {
    previous = next_best(count * wanted, previous,
                         [&](int j) { return __ldcg(&parts[j / wanted].top[j % wanted]); });
    if (threadIdx.x != 0) continue;
    const int id = previous == 0 ? -1 : candidate_id(previous);
    p.ring_top_ids[cell * kMaxTopLogprobs + i] = id;
    p.ring_top_logprobs[cell * kMaxTopLogprobs + i] =
        id < 0 ? kLowest : row.logits[id] - normalizer;
  }
}

/// grid: parts, rows.
__global__ void __launch_bounds__(kThreads, 1)
    sample_kernel(const __grid_constant__ SampleParams p) {
  __shared__ SharedMemory shared;
  const Row row = row_of(p, static_cast<int>(blockIdx.y));
  if (p.finished[row.state_row] != 0) return;
  const int count = static_cast<int>(gridDim.x);
  SamplePart* parts = p.parts + static_cast<std::int64_t>(row.index) * count;
  examine_part(p, row, shared, parts[blockIdx.x]);
  if (!is_last_block(p.counters + row.index, count)) return;

  const int token = choose(p, row, parts, count, shared);
  if (threadIdx.x == 0) p.last_token[row.state_row] = token;
  if (row.sampling.num_top_logprobs >= 0) store_logprobs(p, row, parts, count, token);
}

}  // namespace

int sample_parts(int vocab_size) {
  return (vocab_size + kSamplePartTokens - 1) / kSamplePartTokens;
}

void sample(const SampleParams& params, cudaStream_t stream) {
  const dim3 grid(sample_parts(params.vocab_size), params.num_logit_rows);
  launch(sample_kernel, {.grid = grid, .block = dim3(kThreads)}, stream, params);
}

}  // namespace quern::kernels
