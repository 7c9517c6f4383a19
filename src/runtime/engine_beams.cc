// Beam search: what the host does between two steps.
#include <algorithm>
#include <limits>
#include <utility>

#include "runtime/engine_impl.h"
#include "runtime/output/request_error.h"

namespace quern {
namespace {

void accept_all(const Beam& beam, SequenceOutput& output) {
  for (std::size_t i = 0; i < beam.token_ids.size(); ++i) {
    TokenLogprobs token;
    if (!beam.logprobs.empty()) token = *beam.logprobs[i];
    token.id = beam.token_ids[i];
    output.accept(std::move(token));
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

std::vector<TokenLogprobs> Engine::Impl::read_beam_rows(const Sequence& sequence,
                                                        int unread_step) const {
  std::vector<TokenLogprobs> rows;
  const int num_rows = sequence.beams->forked ? sequence.num_rows() : 1;
  rows.reserve(static_cast<std::size_t>(num_rows));
  for (int i = 0; i < num_rows; ++i) {
    rows.push_back(ring_.token(unread_step, sequence.row(i), sequence.sampling.num_top_logprobs));
  }
  return rows;
}

void Engine::Impl::take_beam_tokens(Sequence& sequence, int unread_step) {
  BeamRun& beams = *sequence.beams;
  const std::vector<TokenLogprobs> rows = read_beam_rows(sequence, unread_step);
  std::int32_t error = static_cast<std::int32_t>(SampleError::no_token);
  std::vector<BeamCandidate> candidates;
  const auto failed = std::ranges::find_if(rows, [](const auto& row) { return row.id < 0; });
  if (failed != rows.end()) {
    error = failed->id;
  } else if (auto listed = choose_listed(sequence, rows)) {
    candidates = std::move(*listed);
  } else {
    candidates = choose_from_logits(sequence, rows);
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
