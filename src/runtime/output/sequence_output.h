#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "quern/request.h"
#include "quern/tokenizer.h"
#include "runtime/output/output_text.h"

namespace quern {

/// One request's growing output: ids, text, log-probabilities, and its finish reason.
class SequenceOutput {
 public:
  /// `limit` is the maximum number of tokens, and `limit_reason` the reason of reaching it.
  /// `result` has id, prompt ids and seed. `tokenizer` must outlive this.
  SequenceOutput(const Tokenizer& tokenizer, const Request& request, Result result,
                 std::span<const std::int32_t> eos_token_ids, int limit, FinishReason limit_reason);

  /// Appends the next token, with log-probabilities where asked for. Tokens after the end are
  /// overshoot and are dropped.
  void accept(TokenLogprobs token);
  void finish(FinishReason reason);
  /// Finishes with FinishReason::error and the reason.
  void fail(const std::string& error);
  void set_cached_prompt_tokens(int count) { result_.cached_prompt_tokens = count; }
  /// Appends those of the next prompt token. Before the first token is accepted.
  /// How many were added so far.
  int num_prompt_logprobs() const { return static_cast<int>(result_.prompt_logprobs.size()); }
  void add_prompt_logprobs(TokenLogprobs token) {
    result_.prompt_logprobs.push_back(std::move(token));
  }
  /// For a copy that is not the request's first answer.
  void drop_prompt_logprobs() { result_.prompt_logprobs.clear(); }
  void set_score(float score) { result_.score = score; }
  bool finished() const { return finish_reason_.has_value(); }
  std::optional<FinishReason> finish_reason() const { return finish_reason_; }

  /// The output since the last call.
  Update take_update();
  bool has_update() const;
  /// Where the text is: further tokens of a copy continue it.
  const OutputText& text() const { return text_; }
  /// The whole output; only once, when finished.
  Result take_result();

 private:
  void show(const std::string& text);

  OutputText text_;
  std::vector<std::int32_t> eos_token_ids_;
  int limit_;
  FinishReason limit_reason_;
  bool wants_logprobs_;
  Result result_;
  Update update_;
  std::optional<FinishReason> finish_reason_;
  bool updated_ = false;  ///< the first update was taken
};

}  // namespace quern
