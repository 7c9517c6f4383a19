#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "graph/step.h"
#include "runtime/output/sequence_output.h"
#include "runtime/schedule/beam_run.h"
#include "runtime/schedule/prefix_hash.h"

namespace quern {

/// How far a sequence may share blocks through the prefix cache.
struct PrefixUse {
  PrefixIdentity identity;
  /// The content of further slots depends on more than the identity and the tokens before them.
  std::int64_t max_tokens = std::numeric_limits<std::int64_t>::max();
};

/// What the sequences of a request with several answers share.
struct AnswerGroup {
  int num_live = 0;           ///< answers that have not ended
  bool prompt_ready = false;  ///< the others may start: the first has published the prompt's blocks
  std::vector<Result> results;  ///< by answer, of those that have ended
};

/// A waiting or running request, or one of its answers. The host tracks upper bounds (launched
/// steps); the device's state has the actual progress.
struct Sequence {
  Sequence(RequestId request_id, std::vector<std::int32_t> prompt_ids,
           const SamplingRow& sampling_row, int max_new_tokens, SequenceOutput sequence_output)
      : id(request_id),
        token_ids(std::move(prompt_ids)),
        sampling(sampling_row),
        max_tokens(max_new_tokens),
        mirostat_mu(2 * sampling_row.mirostat_tau),
        output(std::move(sequence_output)),
        prompt_len_(static_cast<int>(token_ids.size())),
        prefill_len_(prompt_len_) {}

  RequestId id = 0;
  std::vector<std::int32_t> token_ids;  ///< the prompt, then the generated tokens read back so far
  SamplingRow sampling;
  int max_tokens = 0;  ///< tokens to generate at most
  /// SequenceState::mirostat_mu as it is at admission; after a preemption where it was.
  float mirostat_mu = 0.0f;
  int priority = 0;  ///< lower values are admitted first
  /// Whether its tokens and identity determine its keys and values; see KvGrowth.
  bool is_recomputable = true;
  SequenceOutput output;
  std::optional<PrefixUse> prefix = {};  ///< unset: it neither uses nor fills the prefix cache
  /// Request::prompt_logprobs, of the answer that computes the prompt; such a one fills the prefix
  /// cache and does not use it.
  std::optional<int> num_prompt_logprobs = {};

  int index = 0;                                ///< the answer's
  std::shared_ptr<AnswerGroup> group = {};      ///< null: the request has one answer
  std::unique_ptr<BeamRun> beams = {};          ///< null: no beam search
  std::vector<SequenceOutput> more_beams = {};  ///< the best finished beams after the first

  // Kept by the waiting queue.
  std::int64_t arrival = -1;  ///< a number in the order of arrival
  bool is_aged = false;       ///< admitted before its turn by priority; see WaitingQueue

  // Set at admission.
  int state_row = -1;
  std::vector<std::int32_t> blocks = {};
  /// Sampling steps, counted as OutputRing::head is: the column of `state_row` is this sequence's
  /// in the steps from first_step on, to before end_step once it has given the row back.
  std::int64_t first_step = 0;
  std::int64_t end_step = std::numeric_limits<std::int64_t>::max();

  // Kept by the scheduler for the prefix cache.
  std::vector<PrefixHash> block_hashes = {};  ///< of the full blocks whose tokens are known so far
  int num_published = 0;  ///< leading blocks that came from the cache or were offered to it

  // Advanced when steps are launched, before their results are known.
  int prefilled = 0;  ///< of the first prefill_len() tokens: those in the KV cache
  int num_preemptions = 0;
  int launched = 0;  ///< sampling steps launched: an upper bound of its generated tokens

  int num_rows() const { return beams ? beams->search.num_beams() : 1; }
  int row(int beam) const {
    return beams ? beams->rows.at(static_cast<std::size_t>(beam)) : state_row;
  }
  int prompt_len() const { return prompt_len_; }
  /// Tokens known at admission: the prompt, and after a preemption what it had generated. They are
  /// computed as a prompt is.
  int prefill_len() const { return prefill_len_; }
  int num_generated() const { return static_cast<int>(token_ids.size()) - prompt_len_; }
  bool decoding() const { return prefilled == prefill_len(); }
  /// All steps up to max_tokens are launched; an earlier stop is not known here.
  bool exhausted() const { return launched >= max_tokens; }
  /// Whether its row and blocks are its own; see Scheduler::release_exhausted().
  bool holds_row() const { return end_step == std::numeric_limits<std::int64_t>::max(); }
  /// Whether the token in its column of the output ring, of that sampling step, is its own.
  bool owns_token(std::int64_t sampling_step) const {
    return sampling_step >= first_step && sampling_step < end_step;
  }

  /// Forgets its place on the device, where it has given row and blocks back. All its sampled
  /// tokens must be read.
  void preempt() {
    state_row = -1;
    prefill_len_ = static_cast<int>(token_ids.size());
    prefilled = 0;
    num_published = 0;
    launched = num_generated();
    ++num_preemptions;
  }

  /// Appends the next sampled token. Tokens after the end are overshoot and are dropped.
  void accept(TokenLogprobs token) {
    if (output.finished()) return;
    token_ids.push_back(token.id);
    output.accept(std::move(token));
  }

 private:
  int prompt_len_;
  int prefill_len_;
};

}  // namespace quern
