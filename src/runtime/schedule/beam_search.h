#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "quern/request.h"

namespace quern {

class OutputText;

/// A beam's generated tokens.
struct Beam {
  std::vector<std::int32_t> token_ids;
  std::vector<std::shared_ptr<const TokenLogprobs>> logprobs;  ///< those of its candidates
  float score = 0.0f;  ///< running: the sum of log-probabilities; finished: see BeamSearchParams
  std::shared_ptr<const OutputText> text;  ///< that of its candidate
  int parent = 0;  ///< running: the beam of the step before that it continues
};

/// A continuation of a running beam by one token.
struct BeamCandidate {
  int beam = 0;
  std::int32_t token_id = 0;
  float score = 0.0f;       ///< the beam's with the token's log-probability
  bool is_stopped = false;  ///< a stop string ends it
  std::shared_ptr<const TokenLogprobs> logprobs = nullptr;  ///< kept for the caller
  std::shared_ptr<const OutputText> text = nullptr;         ///< kept for the caller
};

/// A row's best tokens by raw log-probability.
struct BestTokens {
  std::vector<TokenLogprob> tokens;  ///< in any order
  std::optional<float> bound = {};   ///< no other token is above it; nullopt: there is no other
};

/// The bookkeeping of one request's beam search: which beams go on and which have finished. Knows
/// nothing of steps and blocks. Source: HF GenerationMixin._beam_search (transformers 5), whose
/// float32 scores and -1e9 for what is ruled out it keeps.
class BeamSearch {
 public:
  /// `max_tokens`: the limit of generated tokens.
  BeamSearch(const BeamSearchParams& params, int max_tokens,
             std::vector<std::int32_t> eos_token_ids);

  int num_beams() const { return params_.num_beams; }
  /// The number of candidates that advance() wants: with so many, num_beams of them do not end.
  int num_candidates() const;
  /// The running beams, best first. At first all are empty, and all but one are ruled out.
  const std::vector<Beam>& running() const { return running_; }
  /// The finished beams, best first; at most num_beams.
  std::vector<Beam> finished() const;
  bool done() const { return done_; }

  /// The best candidates, best first: all beams continued by all tokens. Row i of `log_probs`
  /// [rows, vocab_size] continues beam i; a single row continues all of them.
  std::vector<BeamCandidate> best_candidates(std::span<const float> log_probs,
                                             int vocab_size) const;
  /// The same, from the best tokens of each row. nullopt where a token that is not listed may be
  /// among them, or may come before one of them among equals.
  std::optional<std::vector<BeamCandidate>> best_candidates(std::span<const BestTokens> rows) const;
  /// Continues the beams by one token. `candidates` are the best num_candidates(), best first.
  /// Where stop strings end more than the others can replace, ended ones go on behind all others.
  void advance(std::span<const BeamCandidate> candidates);

 private:
  struct Finished {
    Beam beam;
    bool is_real = false;  ///< else a place that no beam has taken yet
  };

  bool ends(const BeamCandidate& candidate) const;
  Beam continued(const BeamCandidate& candidate, float score) const;
  void update_finished(std::span<const BeamCandidate> candidates);
  bool can_improve() const;

  BeamSearchParams params_;
  int max_tokens_;
  std::vector<std::int32_t> eos_token_ids_;
  int num_generated_ = 0;
  std::vector<Beam> running_;
  std::vector<Finished> finished_;
  bool improvable_ = true;
  bool done_ = false;
};

}  // namespace quern
