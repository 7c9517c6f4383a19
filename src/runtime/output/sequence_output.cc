#include "runtime/output/sequence_output.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace quern {

const char* finish_reason_name(FinishReason reason) {
  switch (reason) {
    case FinishReason::stop:
      return "stop";
    case FinishReason::stop_string:
      return "stop_string";
    case FinishReason::length:
      return "length";
    case FinishReason::context:
      return "context";
    case FinishReason::cancelled:
      return "cancelled";
    case FinishReason::error:
      return "error";
  }
  return "unknown";
}

SequenceOutput::SequenceOutput(const Tokenizer& tokenizer, const Request& request, Result result,
                               std::span<const std::int32_t> eos_token_ids, int limit,
                               FinishReason limit_reason)
    : text_(tokenizer, request),
      eos_token_ids_(eos_token_ids.begin(), eos_token_ids.end()),
      limit_(limit),
      limit_reason_(limit_reason),
      wants_logprobs_(request.top_logprobs.has_value()),
      result_(std::move(result)) {
  update_.id = result_.id;
  if (limit_ == 0) finish(limit_reason_);
}

void SequenceOutput::accept(TokenLogprobs token) {
  if (finished()) return;
  const std::int32_t id = token.id;
  result_.output_ids.push_back(id);
  update_.token_ids.push_back(id);
  if (wants_logprobs_) {
    update_.logprobs.push_back(token);
    result_.logprobs.push_back(std::move(token));
  }

  if (std::find(eos_token_ids_.begin(), eos_token_ids_.end(), id) != eos_token_ids_.end()) {
    finish(FinishReason::stop);
    return;
  }
  show(text_.add(id));
  if (text_.stopped()) {
    finish(FinishReason::stop_string);
  } else if (std::ssize(result_.output_ids) >= limit_) {
    finish(limit_reason_);
  }
}

void SequenceOutput::finish(FinishReason reason) {
  if (finished()) return;
  show(text_.finish());
  finish_reason_ = text_.stopped() ? FinishReason::stop_string : reason;
  result_.finish_reason = update_.finish_reason.emplace(*finish_reason_);
}

void SequenceOutput::fail(const std::string& error) {
  if (finished()) return;
  finish(FinishReason::error);
  if (finish_reason_ == FinishReason::error) result_.error = update_.error = error;
}

void SequenceOutput::show(const std::string& text) {
  result_.text += text;
  update_.text += text;
}

bool SequenceOutput::has_update() const {
  return !update_.token_ids.empty() || !update_.text.empty() || update_.finish_reason.has_value();
}

Update SequenceOutput::take_update() {
  Update update = std::exchange(update_, Update{});
  update_.id = update.id;
  if (!std::exchange(updated_, true)) update.prompt_logprobs = result_.prompt_logprobs;
  return update;
}

Result SequenceOutput::take_result() {
  QUERN_CHECK(finished());
  return std::move(result_);
}

}  // namespace quern
