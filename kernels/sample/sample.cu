#include <new>

#include "kernels/common/dependent_launch.cuh"
#include "kernels/common/launch.h"
#include "kernels/sample/candidate.cuh"
#include "kernels/sample/row_blocks.cuh"
#include "kernels/sample/sample.h"
#include "kernels/sample/sample_row.cuh"

namespace quern::kernels {
namespace {

/// Log-probability summary of the slice's raw logits, into `result`.
__device__ void summarize_logits(const Row& row, const ScoresSlice& slice, SampleSlice& result) {
  float largest = kLowest;
  for (int i = threadIdx.x; i < slice.count; i += kThreads) {
    largest = fmaxf(largest, slice.scores[i]);
  }
  largest = block_max(largest);
  const float reference = largest == kLowest ? 0.0f : largest;
  double sum = 0.0;
  for (int i = threadIdx.x; i < slice.count; i += kThreads) {
    sum += expf(slice.scores[i] - reference);
  }
  sum = block_sum(sum);
  if (threadIdx.x == 0) {
    result.largest = largest;
    result.sum = sum;
  }
  std::uint64_t previous = ~std::uint64_t{0};
  for (int i = 0; i < row.sampling.num_top_logprobs; ++i) {
    previous = next_best(slice.count, previous,
                         [&](int id) { return candidate(slice.scores[id], slice.begin + id); });
    if (threadIdx.x == 0) result.top[i] = previous;
  }
}

/// All logits processors before temperature.
template <typename Slice>
__device__ void process(const Row& row, const Slice& slice, int* counts) {
  const SamplingRow& sampling = row.sampling;
  if (sampling.repetition_penalty != 1.0f) {
    penalize_repetition(row.history, sampling.repetition_penalty, row.logits, slice);
  }
  if (sampling.presence_penalty != 0.0f || sampling.frequency_penalty != 0.0f) {
    penalize_generated(row.history, sampling.presence_penalty, sampling.frequency_penalty, slice,
                       counts);
  }
  if (sampling.dry_multiplier > 0.0f) penalize_repeats(sampling, row.history, slice, counts);
  if (sampling.no_repeat_ngram_size > 0) {
    ban_repeated_ngrams(row.history, sampling.no_repeat_ngram_size, slice);
  }
  if (sampling.num_banned_phrases > 0) ban_phrases(sampling, row.history, slice);
  add_logit_bias(sampling, row.history.num_generated, slice);
}

/// The slice's draw from the unfiltered distribution; 0 where there is none. `best`: of the slice.
__device__ std::uint64_t draw_from_slice(const Row& row, const ScoresSlice& slice,
                                         std::uint64_t best) {
  const float best_score = candidate_score(best) / row.sampling.temperature;
  if (!isfinite(best_score)) return 0;
  // Bound first: few tokens can beat the draw of the best one, so few need the exact variate.
  std::uint64_t winner = perturbed(best_score, candidate_id(best), row.draw);
  const float bound = candidate_score(winner);
  for (int i = 4 * static_cast<int>(threadIdx.x); i < slice.count; i += 4 * kThreads) {
    const uint4 quad = draw_words(row.draw, static_cast<std::uint32_t>(slice.begin + i) / 4);
    const std::uint32_t words[4] = {quad.x, quad.y, quad.z, quad.w};
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      if (i + j >= slice.count) continue;
      const float score = slice.scores[i + j];
      if (!(score + gumbel_bound(words[j]) >= bound)) continue;
      winner = max(winner, candidate(score + gumbel(words[j]), slice.begin + i + j));
    }
  }
  return block_max(winner);
}

/// A row's scratch, of blocks that share it.
__device__ SampleScratch scratch_of(const SampleParams& p, int row, int num_blocks) {
  SampleScratch scratch = p.scratch;
  scratch.bins += std::int64_t{row} * kSampleBinSets * kSampleBins;
  scratch.ties += std::int64_t{row} * num_blocks;
  scratch.sums += std::int64_t{row} * num_blocks * kSampleSumSets * kSampleSums;
  scratch.surprises += std::int64_t{row} * num_blocks;
  scratch.group_maxima += std::int64_t{row} * num_blocks * kSliceGroups;
  return scratch;
}

/// draw_filtered() with all filters. `barriers` in shared memory: RowBlocks::target(). Not inlined,
/// and with scalars as arguments: few requests use it, and the others shall not pay for it.
__device__ __noinline__ std::uint64_t draw_extended(int block, std::uint64_t best,
                                                    std::uint32_t* barriers, SharedMemory& shared) {
  const auto& [p, row] = shared.row_state();
  RowBlocks blocks(&p.words[row.index].arrivals, static_cast<int>(gridDim.x), block, *barriers);
  const ScoresSlice slice = slice_of(p, block, shared.scores);
  const SamplingRow& sampling = row.sampling;
  const SampleScratch scratch = scratch_of(p, row.index, blocks.count());
  ExtendedFilter<kThreads> filter(slice, candidate_score(best) / sampling.temperature,
                                  candidate_id(best), scratch, blocks, shared.filter);
  if (sampling.top_n_sigma > 0.0f) filter.keep_top_n_sigma(sampling.top_n_sigma);
  if (sampling.top_k > 0) filter.keep_top_k(sampling.top_k);
  if (sampling.top_p < 1.0f) filter.keep_top_p(sampling.top_p);
  if (sampling.min_p > 0.0f) filter.keep_min_p(sampling.min_p);
  if (sampling.typical_p < 1.0f) filter.keep_typical(sampling.typical_p);
  if (sampling.epsilon_cutoff > 0.0f) filter.keep_epsilon(sampling.epsilon_cutoff);
  if (sampling.eta_cutoff > 0.0f) filter.keep_eta(sampling.eta_cutoff);
  if (sampling.xtc_probability > 0.0f && uniform_of_step(row.draw) < sampling.xtc_probability) {
    filter.exclude_top_choices(sampling.xtc_threshold);
  }
  const bool mirostat = sampling.mirostat_tau > 0.0f;
  if (mirostat) filter.keep_surprise(__ldcg(p.mirostat_mu + row.state_row));
  const std::uint64_t drawn = filter.draw(row.draw);
  if (mirostat) filter.publish_surprise(drawn);
  if (threadIdx.x == 0) *barriers = blocks.target();
  __syncthreads();
  return drawn;
}

/// The slice's draw after filtering, together with the row's other blocks; 0 in all of them where
/// infinities leave nothing to draw (a tiny temperature can make them), or where the best is
/// kNonfiniteKey, whose score is NaN.
__device__ std::uint64_t draw_filtered(const SampleParams& p, const Row& row,
                                       const ScoresSlice& slice, RowBlocks& blocks,
                                       SharedMemory& shared) {
  const SampleScratch scratch = scratch_of(p, row.index, blocks.count());
  Filter::clear(scratch, blocks);
  blocks.wait_for_all();  // for the row's best score too
  const std::uint64_t best = __ldcg(&p.words[row.index].best);
  const SamplingRow& sampling = row.sampling;
  const float best_score = candidate_score(best) / sampling.temperature;
  if (!isfinite(best_score)) return 0;
  if (has_extended_filters(sampling)) {
    __shared__ std::uint32_t barriers;
    if (threadIdx.x == 0) barriers = blocks.target();
    __syncthreads();
    const auto drawn = draw_extended(blocks.index(), best, &barriers, shared);
    blocks = RowBlocks(&p.words[row.index].arrivals, blocks.count(), blocks.index(), barriers);
    return drawn;
  }
  Filter filter(slice, best_score, scratch, blocks, shared.filter);
  if (sampling.top_k > 0) filter.keep_top_k(sampling.top_k);
  if (sampling.top_p < 1.0f) filter.keep_top_p(sampling.top_p);
  if (sampling.min_p > 0.0f) filter.keep_min_p(sampling.min_p);
  return filter.draw(row.draw, candidate_id(best));
}

/// The largest scores / temperature of a slice's groups, for draw_at_last(). The division keeps the
/// order of scores.
__device__ void publish_group_maxima(const float* scores, float temperature, float* maxima) {
  constexpr int kQuadsOfGroup = kGroupTokens / 4;
  for (int quad = threadIdx.x; quad < kSliceTokens / 4; quad += kThreads) {
    const float4 four = reinterpret_cast<const float4*>(scores)[quad];
    float largest = fmaxf(fmaxf(four.x, four.y), fmaxf(four.z, four.w));
#pragma unroll
    for (int distance = kQuadsOfGroup / 2; distance > 0; distance /= 2) {
      largest = fmaxf(largest, __shfl_xor_sync(~0u, largest, distance));
    }
    if (quad % kQuadsOfGroup == 0) maxima[quad / kQuadsOfGroup] = largest / temperature;
  }
}

/// Computes the scores / temperature of groups of a row.
__device__ void load_groups(const SampleParams& p, const Row& row, const GroupedScores& groups,
                            int* counts) {
  for (int i = threadIdx.x; i < groups.count; i += kThreads) {
    const int id = groups.id_of(i);
    groups.scores[i] = id < groups.vocab_size ? row.logits[id] : kLowest;
  }
  __syncthreads();
  if (row.uses(kProcessors)) process(row, groups, counts);
  if (p.token_bitmask != nullptr) {
    mask_tokens(p.token_bitmask + row.index * p.token_bitmask_stride, groups);
  }
  for (int i = threadIdx.x; i < groups.count; i += kThreads) {
    groups.scores[i] /= row.sampling.temperature;
  }
  __syncthreads();
}

/// Loads a slice of a row to shared memory. Returns whether it holds NaN or +inf, the same in all
/// threads: the barrier that is needed anyway reduces the flag.
__device__ bool load_slice(const Row& row, const ScoresSlice& slice) {
  constexpr int kPerThread = kSliceTokens / kThreads;
  float logits[kPerThread];
#pragma unroll
  for (int i = 0; i < kPerThread; ++i) {
    const int at = static_cast<int>(threadIdx.x) + i * kThreads;
    logits[i] = at < slice.count ? row.logits[slice.begin + at] : kLowest;
  }
  bool nonfinite = false;
#pragma unroll
  for (int i = 0; i < kPerThread; ++i) {
    nonfinite |= !(logits[i] < INFINITY);
    slice.scores[threadIdx.x + i * kThreads] = logits[i];
  }
  return __syncthreads_or(nonfinite) != 0;
}

/// Processes one vocabulary slice: applies the logits processors, publishes its best and drawn
/// candidates. A slice with NaN or +inf publishes kNonfiniteKey as its best, which ends the row.
__device__ void examine_part(const SampleParams& p, const Row& row, RowBlocks& blocks,
                             SharedMemory& shared) {
  const ScoresSlice slice = slice_of(p, blocks.index(), shared.scores);
  const bool nonfinite = load_slice(row, slice);
  if (row.uses(kLogprobs)) {
    summarize_logits(row, slice, p.slices[row.index * blocks.count() + blocks.index()]);
  }
  if (row.uses(kProcessors)) process(row, slice, shared.counts);
  if (p.token_bitmask != nullptr) {
    mask_tokens(p.token_bitmask + row.index * p.token_bitmask_stride, slice);
  }
  SampleWords& words = p.words[row.index];
  const std::uint64_t best =
      nonfinite ? kNonfiniteKey : next_best(slice.count, ~std::uint64_t{0}, [&](int i) {
        return candidate(slice.scores[i], slice.begin + i);
      });
  if (threadIdx.x == 0) atomicMax(&words.best, best);
  if (row.temperature == 0.0f) return;
  if (row.uses(kDrawnAtLast)) {
    float* maxima = scratch_of(p, row.index, blocks.count()).group_maxima;
    publish_group_maxima(slice.scores, row.temperature, maxima + blocks.index() * kSliceGroups);
    return;
  }

  for (int i = threadIdx.x; i < slice.count; i += kThreads) slice.scores[i] /= row.temperature;
  __syncthreads();
  const std::uint64_t drawn = row.uses(kFilters) ? draw_filtered(p, row, slice, blocks, shared)
                                                 : draw_from_slice(row, slice, best);
  if (threadIdx.x == 0) atomicMax(&words.drawn, drawn);
}

/// The row's token from its best and its drawn candidate, or kNonfiniteLogits or kNoToken.
__device__ int choose(const Row& row, std::uint64_t best, std::uint64_t drawn) {
  if (best == kNonfiniteKey) return kNonfiniteLogits;
  const float score = candidate_score(best);
  if (score == kLowest) return kNoToken;
  const float temperature = row.temperature;
  if (temperature == 0.0f || !isfinite(score / temperature)) return candidate_id(best);
  return candidate_id(drawn);
}

/// Moves mirostat's mu towards its target, after `token` was drawn; run by one thread.
__device__ void update_mirostat(const SampleParams& p, const Row& row, std::uint64_t drawn,
                                int num_blocks) {
  if (drawn == 0) return;  // nothing was drawn
  const double* surprises = scratch_of(p, row.index, num_blocks).surprises;
  const double surprise = __ldcg(surprises + candidate_id(drawn) / kSliceTokens);
  const SamplingRow& sampling = row.sampling;
  float& mu = p.mirostat_mu[row.state_row];
  mu = static_cast<float>(mu - sampling.mirostat_eta * (surprise - sampling.mirostat_tau));
}

/// log Σ exp(logits); no logit is NaN or +inf, and one is above -inf.
__device__ float log_sum_exp(const SampleSlice* slices, int count) {
  float largest = kLowest;
  for (int i = threadIdx.x; i < count; i += kThreads) {
    largest = fmaxf(largest, __ldcg(&slices[i].largest));
  }
  largest = block_max(largest);
  double sum = 0.0;
  for (int i = threadIdx.x; i < count; i += kThreads) {
    sum += __ldcg(&slices[i].sum) * expf(__ldcg(&slices[i].largest) - largest);
  }
  return static_cast<float>(largest + log(block_sum(sum)));
}

/// Writes the log-probabilities of the chosen token and of the best ones to the ring; entries
/// beyond the vocabulary become (-1, -inf).
__device__ void store_logprobs(const SampleParams& p, const Row& row, const SampleSlice* slices,
                               int count, int token) {
  const float normalizer = log_sum_exp(slices, count);
  const std::int64_t cell = *p.ring_head % p.ring_capacity * p.ring_max_seqs + row.state_row;
  if (threadIdx.x == 0) p.ring_logprobs[cell] = row.logits[token] - normalizer;
  const int wanted = row.sampling.num_top_logprobs;
  std::uint64_t previous = ~std::uint64_t{0};
  for (int i = 0; i < wanted; ++i) {
    previous = next_best(count * wanted, previous,
                         [&](int j) { return __ldcg(&slices[j / wanted].top[j % wanted]); });
    if (threadIdx.x != 0) continue;
    const int id = previous == 0 ? -1 : candidate_id(previous);
    p.ring_top_ids[cell * kMaxTopLogprobs + i] = id;
    p.ring_top_logprobs[cell * kMaxTopLogprobs + i] =
        id < 0 ? kLowest : row.logits[id] - normalizer;
  }
}

/// The draw of a row's last block, after filtering; 0 as draw_filtered().
__device__ std::uint64_t draw_at_last(const SampleParams& p, const Row& row, std::uint64_t best,
                                      int num_blocks, SharedMemory& shared) {
  const float best_score = candidate_score(best) / row.sampling.temperature;
  if (!isfinite(best_score)) return 0;
  DrawFromGroups groups(row.sampling, p.vocab_size,
                        scratch_of(p, row.index, num_blocks).group_maxima,
                        num_blocks * kSliceGroups, best_score, shared.scores, shared.groups);
  return groups.draw(row.draw, candidate_id(best), [&](const GroupedScores& some, int* counts) {
    load_groups(p, row, some, counts);
  });
}

/// Ends a row; run by its last block. Not inlined, so that the registers of a draw from groups do
/// not count for all blocks.
__device__ __noinline__ void end_row(SharedMemory& shared) {
  const auto& [p, row] = shared.row_state();
  const int count = static_cast<int>(gridDim.x);
  SampleWords& words = p.words[row.index];
  const std::uint64_t best = __ldcg(&words.best);
  const std::uint64_t drawn =
      row.uses(kDrawnAtLast) ? draw_at_last(p, row, best, count, shared) : __ldcg(&words.drawn);
  const int token = choose(row, best, drawn);
  __syncthreads();
  if (threadIdx.x == 0) {
    p.last_token[row.state_row] = token;
    if (token >= 0 && row.uses(kMirostat)) update_mirostat(p, row, drawn, count);
    words.best = 0;
    words.drawn = 0;
  }
  if (token >= 0 && row.uses(kLogprobs)) {
    store_logprobs(p, row, p.slices + std::int64_t{row.index} * count, count, token);
  }
}

/// grid: slices, rows.
__global__ void __launch_bounds__(kThreads, 4)
    sample_kernel(const __grid_constant__ SampleParams p) {
  __shared__ SharedMemory shared;
  const int count = static_cast<int>(gridDim.x);
  int block = static_cast<int>(blockIdx.x);
  if (gridDim.y > 1) block = take_ticket(p.tickets, static_cast<int>(gridDim.x * gridDim.y));
  let_next_kernel_start();  // all tickets are taken once all blocks have triggered
  const Row row = row_of(p, block / count);
  if (threadIdx.x == 0) new (shared.row_state_bytes) RowState{p, row};
  const bool finished = p.finished[row.state_row] != 0;
  // Up to here only reads of what earlier steps wrote, see attention_decode.cu.
  wait_for_earlier_kernels();
  if (finished) return;
  SampleWords& words = p.words[row.index];
  RowBlocks blocks(&words.arrivals, count, block % count);
  examine_part(p, row, blocks, shared);
  if (blocks.finish()) end_row(shared);
}

}  // namespace

int sample_slices(int vocab_size) { return (vocab_size + kSliceTokens - 1) / kSliceTokens; }

int sample_groups(int vocab_size) { return sample_slices(vocab_size) * kSliceGroups; }

int max_sample_slices(int num_multiprocessors) {
  return kBlocksPerMultiprocessor * num_multiprocessors;
}

void sample(const SampleParams& params, cudaStream_t stream) {
  const LaunchShape shape{.grid = dim3(sample_slices(params.vocab_size), params.num_logit_rows),
                          .block = dim3(kThreads),
                          .use_pdl = params.use_pdl};
  launch(sample_kernel, shape, stream, params);
}

}  // namespace quern::kernels
