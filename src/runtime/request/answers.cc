#include "runtime/request/answers.h"

#include <cmath>
#include <utility>

#include "base/error.h"
#include "runtime/request/request_check.h"
#include "runtime/schedule/beam_scores.h"
#include "runtime/schedule/beam_tables.h"

namespace quern {
namespace {

void require_range(const char* name, int value, int high, const char* what) {
  if (value >= 1 && value <= high) return;
  fail(ErrorCode::invalid_argument, "{} {}: expected 1 to {}{}", name, value, high, what);
}

void refuse_with_beams(bool given, const char* what) {
  if (given) fail(ErrorCode::invalid_argument, "num_beams and {}: beam search has none", what);
}

void check_beams(const Request& request, const Limits& limits) {
  const auto& [num_beams, length_penalty, early_stopping] = request.beam_search;
  require_range("num_beams", num_beams, limits.max_seqs, ", max_seqs");
  if (num_beams == 1) return;
  if (!std::isfinite(length_penalty)) {
    fail(ErrorCode::invalid_argument, "length_penalty {}: expected a finite number",
         length_penalty);
  }
  require_range("num_return_sequences", request.num_return_sequences, num_beams, ", num_beams");
  const SamplingParams& sampling = request.sampling;
  refuse_with_beams(sampling.temperature.value_or(0) > 0, "temperature");
  refuse_with_beams(sets_filters(sampling), "top_k, top_p, min_p and other filters");
}

/// Leaves to the device what does not depend on the beams, and the rest to the host, which chooses
/// from the tokens that Sample lists.
void start_beams(Sequence& sequence, const Request& request, const OpenedModel& model,
                 const Limits& limits) {
  const int num_beams = request.beam_search.num_beams;
  const std::int64_t needed = BeamTables::blocks_needed(sequence.prompt_len(), sequence.max_tokens,
                                                        num_beams, limits.block_size);
  if (needed > limits.num_blocks) {
    fail(ErrorCode::invalid_argument,
         "num_beams {}: {} prompt and {} new tokens need up to {} KV blocks, there are {}: lower "
         "num_beams or max_new_tokens, or raise max_seqs or kv_cache_memory",
         num_beams, sequence.prompt_len(), sequence.max_tokens, needed, limits.num_blocks);
  }
  sequence.beams = std::make_unique<BeamRun>(BeamRun{
      BeamSearch(request.beam_search, sequence.max_tokens, eos_token_ids_of(request, model)),
      sequence.sampling, request.num_return_sequences});
  sequence.sampling = {};
  sequence.sampling.num_top_logprobs = num_listed_tokens(
      sequence.beams->search, sequence.beams->processors, model.config.vocab_size);
}

}  // namespace

std::vector<std::unique_ptr<Sequence>> make_sequences(RequestId id, const Request& request,
                                                      const OpenedModel& model,
                                                      const Limits& limits) {
  require_range("num_return_sequences", request.num_return_sequences, kMaxReturnSequences, "");
  check_beams(request, limits);
  std::vector<std::unique_ptr<Sequence>> sequences;
  sequences.push_back(make_sequence(id, request, model, limits.max_seq_len));
  Sequence& first = *sequences.front();
  if (request.beam_search.num_beams > 1) {
    start_beams(first, request, model, limits);
    return sequences;
  }
  if (request.num_return_sequences == 1) return sequences;
  if (first.sampling.temperature == 0.0f) {
    fail(ErrorCode::invalid_argument,
         "num_return_sequences {}: greedy decoding has one answer; set temperature, top_k, top_p, "
         "min_p or num_beams",
         request.num_return_sequences);
  }
  first.group = std::make_shared<AnswerGroup>();
  first.group->num_live = request.num_return_sequences;
  first.group->results.resize(static_cast<std::size_t>(request.num_return_sequences));
  Request next = request;
  next.prompt_ids = first.token_ids;
  next.sampling.seed = first.sampling.seed;
  next.prompt_logprobs.reset();  // the first answer's
  for (int i = 1; i < request.num_return_sequences; ++i) {
    sequences.push_back(make_sequence(id, next, model, limits.max_seq_len));
    sequences.back()->index = i;
    sequences.back()->sampling.sequence_index = static_cast<std::uint32_t>(i);
    sequences.back()->group = first.group;
  }
  return sequences;
}

void set_prefix_use(std::vector<std::unique_ptr<Sequence>>& sequences, const OpenedModel& model,
                    const KvFormat& kv_format, bool prefix_cache) {
  if (!prefix_cache && sequences.size() == 1) return;
  for (const auto& sequence : sequences) {
    sequence->prefix = prefix_use(model, *sequence, kv_format);
    if (!prefix_cache) sequence->prefix->identity.request = sequence->id;
  }
}

Result merged_result(AnswerGroup& group) {
  Result result = group.results.front();
  for (Result& answer : group.results) {
    result.sequences.push_back({std::move(answer.output_ids), std::move(answer.text),
                                answer.finish_reason, std::move(answer.error),
                                std::move(answer.logprobs), answer.score});
  }
  return result;
}

}  // namespace quern
