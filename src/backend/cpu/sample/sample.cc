#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "backend/cpu/ops/ops.h"
#include "backend/cpu/parallel.h"
#include "backend/cpu/sample/log_softmax.h"
#include "backend/cpu/sample/logits_processor.h"
#include "backend/cpu/sample/sampling_filter.h"
#include "backend/cpu/views.h"
#include "backend/workspace.h"
#include "base/philox.h"

namespace quern::cpu {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

/// Scratch per thread, [vocab_size] each.
struct SampleScratch {
  std::span<float> scores;
  std::span<float> heap;
  std::span<std::int32_t> counts;
  std::span<Candidate> candidates;
};

SampleScratch take_sample_scratch(Workspace& workspace, std::int64_t vocab_size) {
  const auto size = static_cast<std::size_t>(vocab_size);
  return {{workspace.take<float>(vocab_size), size},
          {workspace.take<float>(vocab_size), size},
          {workspace.take<std::int32_t>(vocab_size), size},
          {workspace.take<Candidate>(vocab_size), size}};
}

std::size_t scratch_bytes(std::int64_t vocab_size) {
  Workspace workspace;
  take_sample_scratch(workspace, vocab_size);
  return workspace.used_bytes();
}

/// Token history of a sequence: prompt and generated tokens.
struct History {
  std::span<const std::int32_t> all;
  std::span<const std::int32_t> generated;
};

History history_of(const SequenceState& state, std::int32_t row) {
  const auto prompt_len = static_cast<std::size_t>(state.prompt_len[row]);
  const auto generated = static_cast<std::size_t>(state.generated[row]);
  const std::span<const std::int32_t> all{state.history + row * state.history_stride,
                                          prompt_len + generated};
  return {all, all.last(generated)};
}

/// Masks the scores of tokens that a row of Step::token_bitmask does not allow.
std::span<const float> mask_tokens(std::span<const float> scores, const std::int32_t* allowed,
                                   const SampleScratch& scratch) {
  for (std::size_t i = 0; i < scores.size(); ++i) {
    const auto word = static_cast<std::uint32_t>(allowed[i / 32]);
    scratch.scores[i] = (word >> i % 32 & 1U) != 0 ? scores[i] : -kInfinity;
  }
  return scratch.scores;
}

/// Logits after all processors before temperature.
std::span<const float> process_logits(std::span<const float> logits, const SamplingRow& sampling,
                                      const History& history, const SampleScratch& scratch) {
  if (!has_processors(sampling)) return logits;
  std::copy(logits.begin(), logits.end(), scratch.scores.begin());
  if (sampling.repetition_penalty != 1.0f) {
    penalize_repetition(history.all, sampling.repetition_penalty, logits, scratch.scores);
  }
  if (sampling.presence_penalty != 0.0f || sampling.frequency_penalty != 0.0f) {
    penalize_generated(history.generated, sampling.presence_penalty, sampling.frequency_penalty,
                       scratch.counts, scratch.scores);
  }
  if (sampling.dry_multiplier > 0.0f) {
    penalize_repeats(sampling, history.all, scratch.counts, scratch.scores);
  }
  if (sampling.no_repeat_ngram_size > 0) {
    ban_repeated_ngrams(history.all, sampling.no_repeat_ngram_size, scratch.scores);
  }
  if (sampling.num_banned_phrases > 0) ban_phrases(sampling, history.all, scratch.scores);
  add_logit_bias(sampling, static_cast<std::int32_t>(history.generated.size()), scratch.scores);
  return scratch.scores;
}

/// Candidates of the draw: all tokens except those with NaN or -inf.
std::span<Candidate> collect_candidates(std::span<const float> scores, float temperature,
                                        std::span<Candidate> candidates) {
  std::size_t count = 0;
  for (std::size_t i = 0; i < scores.size(); ++i) {
    const float score = scores[i] / temperature;
    if (!(score > -kInfinity)) continue;
    candidates[count++] = {score, static_cast<std::int32_t>(i)};
  }
  return candidates.first(count);
}

/// What the row's filters leave.
std::span<Candidate> filter(std::span<Candidate> candidates, const SamplingRow& sampling,
                            const DrawKey& key, const SampleScratch& scratch) {
  if (sampling.top_n_sigma > 0.0f) candidates = keep_top_n_sigma(candidates, sampling.top_n_sigma);
  if (sampling.top_k > 0) candidates = keep_top_k(candidates, sampling.top_k, scratch.heap);
  if (sampling.top_p < 1.0f) candidates = keep_top_p(candidates, sampling.top_p);
  if (sampling.min_p > 0.0f) candidates = keep_min_p(candidates, sampling.min_p);
  if (sampling.typical_p < 1.0f) candidates = keep_typical(candidates, sampling.typical_p);
  if (sampling.epsilon_cutoff > 0.0f)
    candidates = keep_epsilon(candidates, sampling.epsilon_cutoff);
  if (sampling.eta_cutoff > 0.0f) candidates = keep_eta(candidates, sampling.eta_cutoff);
  if (sampling.xtc_probability > 0.0f &&
      uniform_of_step(key.seed, key.sequence_index, key.position) < sampling.xtc_probability) {
    candidates = exclude_top_choices(candidates, sampling.xtc_threshold);
  }
  return candidates;
}

/// A token, or a SampleError. `mirostat_mu`: the row's.
std::int32_t choose(std::span<const float> scores, const SamplingRow& sampling,
                    std::uint32_t position, const SampleScratch& scratch, float* mirostat_mu) {
  const std::int32_t best = argmax(scores);
  const float best_score = scores[static_cast<std::size_t>(best)];
  if (!(best_score > -kInfinity)) return static_cast<std::int32_t>(SampleError::no_token);
  // Infinity leaves nothing to draw: +inf, which a tiny temperature can make, is chosen.
  if (sampling.temperature == 0.0f || !std::isfinite(best_score / sampling.temperature)) {
    return best;
  }

  const DrawKey key{sampling.seed, sampling.sequence_index, position};
  const auto all = collect_candidates(scores, sampling.temperature, scratch.candidates);
  auto left = filter(all, sampling, key, scratch);
  if (sampling.mirostat_tau == 0.0f) return draw(left, key);
  left = keep_surprise(left, *mirostat_mu);
  const std::int32_t token = draw(left, key);
  const double excess = surprise_of(left, token) - sampling.mirostat_tau;
  *mirostat_mu = static_cast<float>(*mirostat_mu - sampling.mirostat_eta * excess);
  return token;
}

/// Writes the log-probabilities of the chosen token and of the best ones to the ring; entries
/// beyond the vocabulary become (-1, -inf).
void store_logprobs(const OutputRing& ring, std::int32_t row, std::span<const float> logits,
                    std::int32_t chosen, std::int32_t num_top) {
  const float normalizer = log_sum_exp(logits);
  const std::int64_t cell = *ring.head % ring.capacity * ring.max_seqs + row;
  ring.logprobs[cell] = logits[static_cast<std::size_t>(chosen)] - normalizer;
  if (num_top == 0) return;

  const std::vector<Candidate> best = largest(logits, num_top);
  for (std::int32_t i = 0; i < num_top; ++i) {
    const bool exists = i < std::ssize(best);
    const std::int32_t id = exists ? best[static_cast<std::size_t>(i)].id : -1;
    ring.top_ids[cell * kMaxTopLogprobs + i] = id;
    ring.top_logprobs[cell * kMaxTopLogprobs + i] =
        exists ? logits[static_cast<std::size_t>(id)] - normalizer : -kInfinity;
  }
}

/// `allowed`: the row of Step::token_bitmask, or null.
void sample_row(const Step& step, std::span<const float> logits, const std::int32_t* allowed,
                std::int32_t row, const SampleScratch& scratch) {
  if (has_nonfinite(logits)) {
    step.state.last_token[row] = static_cast<std::int32_t>(SampleError::nonfinite_logits);
    return;
  }
  const SamplingRow& sampling = step.sampling[row];
  const History history = history_of(step.state, row);
  auto scores = process_logits(logits, sampling, history, scratch);
  if (allowed != nullptr) scores = mask_tokens(scores, allowed, scratch);
  const auto position = static_cast<std::uint32_t>(history.all.size());
  const std::int32_t token =
      choose(scores, sampling, position, scratch, step.state.mirostat_mu + row);
  step.state.last_token[row] = token;
  if (token < 0 || sampling.num_top_logprobs < 0) return;
  store_logprobs(step.ring, row, logits, token, sampling.num_top_logprobs);
}

}  // namespace

void run_sample(const Sample& op, const Step& step, ThreadPool& pool) {
  const BatchView& batch = step.batch;
  const Tensor& logits = step.value(op.logits);
  const std::size_t thread_bytes = scratch_bytes(logits.cols);
  constexpr std::int64_t kElementCost = 8;  // comparisons and exponentials, in multiply-adds
  const std::int64_t work = batch.num_logit_rows * logits.cols * kElementCost;
  parallel_for(pool, work, batch.num_logit_rows, [&](std::int64_t i, int thread) {
    const int seq = batch.logit_seqs[i];
    if (!step.is_running(seq)) return;
    Workspace workspace(step.workspace.subspan(static_cast<std::size_t>(thread) * thread_bytes));
    const std::int32_t* allowed = step.token_bitmask != nullptr
                                      ? step.token_bitmask + i * step.token_bitmask_stride
                                      : nullptr;
    sample_row(step, float_row(logits, i), allowed, batch.state_index[seq],
               take_sample_scratch(workspace, logits.cols));
  });
}

std::size_t sample_workspace_bytes(const Sample& op, const Graph& graph, int threads) {
  return static_cast<std::size_t>(threads) * scratch_bytes(graph.value(op.logits).cols);
}

}  // namespace quern::cpu
