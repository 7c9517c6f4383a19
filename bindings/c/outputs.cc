#include "bindings/c/outputs.h"

#include <utility>

#include "bindings/c/values.h"

namespace quern::c {
namespace {

quern_finish_reason reason_of(std::optional<FinishReason> reason) {
  return reason ? static_cast<quern_finish_reason>(*reason) + 1 : QUERN_NOT_FINISHED;
}

static_assert(static_cast<int>(FinishReason::stop) + 1 == QUERN_FINISH_STOP &&
              static_cast<int>(FinishReason::stop_string) + 1 == QUERN_FINISH_STOP_STRING &&
              static_cast<int>(FinishReason::length) + 1 == QUERN_FINISH_LENGTH &&
              static_cast<int>(FinishReason::context) + 1 == QUERN_FINISH_CONTEXT &&
              static_cast<int>(FinishReason::cancelled) + 1 == QUERN_FINISH_CANCELLED &&
              static_cast<int>(FinishReason::error) + 1 == QUERN_FINISH_ERROR);
static_assert(sizeof(TokenLogprob) == sizeof(quern_token_logprob) &&
              offsetof(TokenLogprob, logprob) == offsetof(quern_token_logprob, logprob));

struct OwnedResult {
  quern_result view{};  // first: its address is that of the whole
  Result result;
  std::vector<quern_sequence_result> sequences;
  std::vector<const quern_sequence_result*> pointers;
  LogprobViews logprobs;
};

/// An answer, as a SequenceResult or, where there is only one, the Result itself.
template <class Answer>
quern_sequence_result sequence_view(const Answer& answer, LogprobViews& logprobs) {
  quern_sequence_result view{};
  view.output_ids = view_of(answer.output_ids);
  view.text = view_of(answer.text);
  view.finish_reason = reason_of(answer.finish_reason);
  view.score = optional_of(answer.score);
  view.error = view_of(answer.error);
  view.logprobs = logprobs.add(answer.logprobs);
  return view;
}

}  // namespace

quern_logprobs LogprobViews::add(const std::vector<TokenLogprobs>& logprobs) {
  if (logprobs.empty()) return {};
  std::vector<quern_token_logprobs>& views = arrays_.emplace_back();
  views.reserve(logprobs.size());
  for (const TokenLogprobs& token : logprobs) {
    const auto* top = reinterpret_cast<const quern_token_logprob*>(token.top.data());
    views.push_back({token.id, token.logprob, top, token.top.size()});
  }
  return {views.data(), views.size()};
}

quern_update view_of(const Update& update, LogprobViews& logprobs) {
  quern_update view{};
  view.id = update.id;
  view.sequence = update.sequence;
  view.finish_reason = reason_of(update.finish_reason);
  view.last = update.last ? 1 : 0;
  view.token_ids = view_of(update.token_ids);
  view.text = view_of(update.text);
  view.logprobs = logprobs.add(update.logprobs);
  view.prompt_logprobs = logprobs.add(update.prompt_logprobs);
  view.error = view_of(update.error);
  return view;
}

quern_updates UpdateViews::set(std::vector<Update> updates) {
  updates_ = std::move(updates);
  views_.clear();
  logprobs_.clear();
  for (const Update& update : updates_) views_.push_back(view_of(update, logprobs_));
  return {views_.data(), views_.size(), sizeof(quern_update)};
}

quern_result* make_result(Result result) {
  auto owned = std::make_unique<OwnedResult>();
  owned->result = std::move(result);
  const Result& held = owned->result;
  quern_result& view = owned->view;
  view.id = held.id;
  view.seed = held.seed;
  view.prompt_ids = view_of(held.prompt_ids);
  view.prompt_logprobs = owned->logprobs.add(held.prompt_logprobs);
  if (held.sequences.empty()) owned->sequences.push_back(sequence_view(held, owned->logprobs));
  for (const SequenceResult& sequence : held.sequences) {
    owned->sequences.push_back(sequence_view(sequence, owned->logprobs));
  }
  for (const quern_sequence_result& sequence : owned->sequences) {
    owned->pointers.push_back(&sequence);
    view.usage.completion_tokens += sequence.output_ids.count;
  }
  view.sequences = owned->pointers.data();
  view.num_sequences = owned->pointers.size();
  view.usage.prompt_tokens = held.prompt_ids.size();
  view.usage.cached_prompt_tokens = static_cast<std::uint64_t>(held.cached_prompt_tokens);
  return &owned.release()->view;
}

}  // namespace quern::c

extern "C" {

void quern_result_free(quern_result* result) {
  delete reinterpret_cast<quern::c::OwnedResult*>(result);
}

const char* quern_finish_reason_name(quern_finish_reason reason) {
  if (reason == QUERN_NOT_FINISHED) return "not_finished";
  if (reason < QUERN_FINISH_STOP || reason > QUERN_FINISH_ERROR) return "unknown";
  return quern::finish_reason_name(static_cast<quern::FinishReason>(reason - 1));
}

}  // extern "C"
