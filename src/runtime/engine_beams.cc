// Beam search: what the host does between two steps.
#include <algorithm>
#include <utility>

#include "backend/cpu/sample/log_softmax.h"
#include "backend/cpu/sample/logits_processor.h"
#include "runtime/engine_impl.h"
#include "runtime/output/request_error.h"

namespace quern {
namespace {

/// Applies a request's penalties and biases to a beam's log-probabilities, as generate() does: to
/// these, not to the logits.
void process(const SamplingRow& sampling, std::span<const std::int32_t> history,
             std::span<const std::int32_t> generated, std::span<float> log_probs) {
  if (!cpu::has_processors(sampling)) return;
  if (sampling.repetition_penalty != 1.0f) {
    const std::vector<float> unchanged(log_probs.begin(), log_probs.end());
    cpu::penalize_repetition(history, sampling.repetition_penalty, unchanged, log_probs);
  }
  if (sampling.presence_penalty != 0.0f || sampling.frequency_penalty != 0.0f) {
    std::vector<std::int32_t> counts(log_probs.size());
    cpu::penalize_generated(generated, sampling.presence_penalty, sampling.frequency_penalty,
                            counts, log_probs);
  }
  if (sampling.dry_multiplier > 0.0f) {
    std::vector<std::int32_t> lengths(log_probs.size());
    cpu::penalize_repeats(sampling, history, lengths, log_probs);
  }
  if (sampling.no_repeat_ngram_size > 0) {
    cpu::ban_repeated_ngrams(history, sampling.no_repeat_ngram_size, log_probs);
  }
  cpu::ban_phrases(sampling, history, log_probs);
  cpu::add_logit_bias(sampling, static_cast<std::int32_t>(generated.size()), log_probs);
}

void accept_all(const Beam& beam, SequenceOutput& output) {
  for (std::size_t i = 0; i < beam.token_ids.size(); ++i) {
    TokenLogprobs token;
    if (!beam.logprobs.empty()) token = *beam.logprobs[i];
    token.id = beam.token_ids[i];
    output.accept(std::move(token));
  }
}

/// Adds to candidates what their answers show of them. `rows`: raw log-probabilities by beam, or
/// one row for all.
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
    candidate.logprobs = std::make_shared<const TokenLogprobs>(
        TokenLogprobs{candidate.token_id, logprob, tops[row]});
  }
}

/// Marks the candidates that a stop string ends with their last token.
void find_stops(const Sequence& sequence, std::span<BeamCandidate> candidates) {
  const OutputText& beginning = sequence.output.text();
  if (!beginning.has_stops()) return;
  const std::vector<Beam>& running = sequence.beams->search.running();
  for (BeamCandidate& candidate : candidates) {
    const Beam& parent = running[static_cast<std::size_t>(candidate.beam)];
    OutputText text = parent.text ? *parent.text : beginning;
    text.go_on();
    text.add(candidate.token_id);
    candidate.is_stopped = text.stopped();
    candidate.text = std::make_shared<const OutputText>(std::move(text));
  }
}

/// The finished beams become the sequence's answers.
void finish(Sequence& sequence) {
  const BeamRun& beams = *sequence.beams;
  std::vector<Beam> best = beams.search.finished();
  best.resize(std::min(best.size(), static_cast<std::size_t>(beams.num_returned)));
  std::vector<SequenceOutput> outputs(best.size(), sequence.output);
  for (std::size_t i = 0; i < best.size(); ++i) {
    accept_all(best[i], outputs[i]);
    if (i > 0) outputs[i].drop_prompt_logprobs();
    outputs[i].set_score(best[i].score);
    outputs[i].finish(FinishReason::stop);
  }
  sequence.output = std::move(outputs.front());
  outputs.erase(outputs.begin());
  sequence.more_beams = std::move(outputs);
}

}  // namespace

bool Engine::Impl::read_log_probs(const Sequence& sequence, int unread_step,
                                  std::vector<float>& log_probs, std::int32_t& error) {
  const BeamRun& beams = *sequence.beams;
  const int num_rows = beams.forked ? sequence.num_rows() : 1;
  const auto vocab_size = static_cast<std::size_t>(model_.config.vocab_size);
  runner_.copy_logits(beams.logit_row, num_rows, log_probs);
  for (int i = 0; i < num_rows; ++i) {
    const std::span<float> row =
        std::span(log_probs).subspan(static_cast<std::size_t>(i) * vocab_size, vocab_size);
    // What Sample chose is not wanted, but its log-probability has the sum over the vocabulary.
    const TokenLogprobs chosen = ring_.token(unread_step, sequence.row(i), 0);
    if (chosen.id < 0) {
      error = chosen.id;
      return false;
    }
    const float log_sum_exp = row[static_cast<std::size_t>(chosen.id)] - chosen.logprob;
    for (float& value : row) value -= log_sum_exp;
  }
  return true;
}

void Engine::Impl::process_log_probs(const Sequence& sequence, std::span<float> log_probs) const {
  const BeamRun& beams = *sequence.beams;
  const auto vocab_size = static_cast<std::size_t>(model_.config.vocab_size);
  for (std::size_t i = 0; i * vocab_size < log_probs.size(); ++i) {
    const std::vector<std::int32_t>& generated = beams.search.running()[i].token_ids;
    std::vector<std::int32_t> history = sequence.token_ids;
    history.insert(history.end(), generated.begin(), generated.end());
    process(beams.processors, history, generated, log_probs.subspan(i * vocab_size, vocab_size));
  }
}

void Engine::Impl::take_beam_tokens(Sequence& sequence, int unread_step) {
  BeamRun& beams = *sequence.beams;
  std::vector<float>& log_probs = beam_log_probs_;
  std::int32_t error = static_cast<std::int32_t>(SampleError::no_token);
  std::vector<BeamCandidate> candidates;
  if (read_log_probs(sequence, unread_step, log_probs, error)) {
    const int num_top = beams.processors.num_top_logprobs;
    std::vector<float> raw;
    if (num_top >= 0) raw = log_probs;
    process_log_probs(sequence, log_probs);
    candidates = beams.search.best_candidates(log_probs, model_.config.vocab_size);
    if (num_top >= 0) {
      add_logprobs(raw, static_cast<std::size_t>(model_.config.vocab_size), num_top, candidates);
    }
  }
  // Where only some are ruled out, fewer beams go on in effect, as in transformers.
  if (candidates.empty() || candidates.front().score == -std::numeric_limits<float>::infinity()) {
    sequence.output.fail(sample_error_text(error, *plan_.options.dtype));
    return;
  }
  find_stops(sequence, candidates);
  beams.search.advance(candidates);
  if (beams.search.done()) return finish(sequence);
  continue_beams(sequence);
}

void Engine::Impl::take_best_beam(Sequence& sequence) {
  accept_all(sequence.beams->search.running().front(), sequence.output);
}

void Engine::Impl::continue_beams(Sequence& sequence) {
  BeamRun& beams = *sequence.beams;
  const std::vector<Beam>& running = beams.search.running();
  std::vector<int> parents;
  parents.reserve(running.size());
  for (const Beam& beam : running) parents.push_back(beam.parent);
  const auto num_generated = static_cast<int>(running.front().token_ids.size());
  const int kv_len = sequence.prompt_len() + num_generated - 1;
  runner_.copy_blocks(beams.tables->advance(parents, kv_len));
  for (int i = 0; i < sequence.num_rows(); ++i) {
    const std::int32_t token_id = running[static_cast<std::size_t>(i)].token_ids.back();
    runner_.arrays().write_beam(sequence, i, token_id, kv_len);
  }
  beams.forked = true;
}

}  // namespace quern
