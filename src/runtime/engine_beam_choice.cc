// Beam search: the candidates for the next beams, from what Sample listed or from all logits.
#include <algorithm>
#include <limits>

#include "backend/cpu/sample/log_softmax.h"
#include "runtime/engine_impl.h"
#include "runtime/schedule/beam_scores.h"

namespace quern {
namespace {

std::span<const std::int32_t> generated_by(const BeamRun& beams, std::size_t beam) {
  return beams.search.running()[beam].token_ids;
}

/// The tokens before a beam's next one.
std::vector<std::int32_t> history_of_beam(const Sequence& sequence, std::size_t beam) {
  std::vector<std::int32_t> tokens = sequence.token_ids;
  const auto own = generated_by(*sequence.beams, beam);
  tokens.insert(tokens.end(), own.begin(), own.end());
  return tokens;
}

/// Adds to a candidate what its answer shows of it. `best`: of its row.
void add_logprobs(float logprob, std::span<const TokenLogprob> best, BeamCandidate& candidate) {
  candidate.logprobs = std::make_shared<const TokenLogprobs>(
      TokenLogprobs{candidate.token_id, logprob, {best.begin(), best.end()}});
}

/// The same for candidates from lists, by beam or one for all.
void add_logprobs(std::span<const TokenLogprobs> lists, int num_top,
                  std::span<BeamCandidate> candidates) {
  for (BeamCandidate& candidate : candidates) {
    const std::size_t row = lists.size() == 1 ? 0 : static_cast<std::size_t>(candidate.beam);
    const std::span<const TokenLogprob> listed = lists[row].top;
    const auto token = std::ranges::find(listed, candidate.token_id, &TokenLogprob::id);
    add_logprobs(token->logprob, listed.first(static_cast<std::size_t>(num_top)), candidate);
  }
}

/// The same for candidates from raw log-probabilities.
void add_logprobs(std::span<const float> rows, std::size_t vocab_size, int num_top,
                  std::span<BeamCandidate> candidates) {
  std::vector<std::vector<TokenLogprob>> tops(rows.size() / vocab_size);
  for (std::size_t i = 0; i < tops.size(); ++i) {
    for (const auto& best : cpu::largest(rows.subspan(i * vocab_size, vocab_size), num_top)) {
      tops[i].push_back({best.id, best.score});
    }
  }
  for (BeamCandidate& candidate : candidates) {
    const std::size_t row = tops.size() == 1 ? 0 : static_cast<std::size_t>(candidate.beam);
    const float logprob = rows[row * vocab_size + static_cast<std::size_t>(candidate.token_id)];
    add_logprobs(logprob, tops[row], candidate);
  }
}

}  // namespace

std::optional<std::vector<BeamCandidate>> Engine::Impl::choose_listed(
    const Sequence& sequence, std::span<const TokenLogprobs> rows) {
  if (sequence.sampling.num_top_logprobs == 0) return std::nullopt;
  const BeamRun& beams = *sequence.beams;
  beam_scratch_.resize(static_cast<std::size_t>(model_.config.vocab_size),
                       -std::numeric_limits<float>::infinity());
  std::vector<BestTokens> lists;
  lists.reserve(rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    lists.push_back(process_list(beams.processors, history_of_beam(sequence, i),
                                 generated_by(beams, i), rows[i], beam_scratch_));
  }
  auto candidates = beams.search.best_candidates(lists);
  const int num_top = beams.processors.num_top_logprobs;
  if (candidates && num_top >= 0) add_logprobs(rows, num_top, *candidates);
  return candidates;
}

std::vector<BeamCandidate> Engine::Impl::choose_from_logits(const Sequence& sequence,
                                                            std::span<const TokenLogprobs> rows) {
  const BeamRun& beams = *sequence.beams;
  const auto vocab_size = static_cast<std::size_t>(model_.config.vocab_size);
  std::vector<float>& log_probs = beam_log_probs_;
  runner_.copy_logits(beams.logit_row, static_cast<int>(rows.size()), log_probs);
  const auto row_of = [&](std::size_t i) {
    return std::span(log_probs).subspan(i * vocab_size, vocab_size);
  };
  for (std::size_t i = 0; i < rows.size(); ++i) {
    // What Sample chose is not wanted, but its log-probability has the sum over the vocabulary.
    const TokenLogprobs& chosen = rows[i];
    const float log_sum_exp = row_of(i)[static_cast<std::size_t>(chosen.id)] - chosen.logprob;
    for (float& value : row_of(i)) value -= log_sum_exp;
  }
  const int num_top = beams.processors.num_top_logprobs;
  std::vector<float> raw;
  if (num_top >= 0) raw = log_probs;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    process_log_probs(beams.processors, history_of_beam(sequence, i), generated_by(beams, i),
                      row_of(i));
  }
  auto candidates = beams.search.best_candidates(log_probs, model_.config.vocab_size);
  if (num_top >= 0) add_logprobs(raw, vocab_size, num_top, candidates);
  return candidates;
}

}  // namespace quern
