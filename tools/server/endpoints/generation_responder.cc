#include "tools/server/endpoints/generation_responder.h"

#include <utility>

namespace quern::tools {
namespace {

void append(ChoiceOutput& all, ChoiceOutput output) {
  all.content += output.content;
  all.reasoning += output.reasoning;
  all.token_ids.insert(all.token_ids.end(), output.token_ids.begin(), output.token_ids.end());
  all.logprobs.insert(all.logprobs.end(), std::make_move_iterator(output.logprobs.begin()),
                      std::make_move_iterator(output.logprobs.end()));
  if (output.finish_reason) all.finish_reason = output.finish_reason;
}

}  // namespace

GenerationResponder::GenerationResponder(Setup setup) : setup_(std::move(setup)) {
  const auto per_prompt = static_cast<std::size_t>(setup_.answers_per_prompt);
  choices_.resize(setup_.prompts.size() * per_prompt);
  for (std::size_t i = 0; i < choices_.size(); ++i) {
    choices_[i].output.index = static_cast<int>(i);
  }
  for (const RunningPrompt& prompt : setup_.prompts) {
    usage_.prompt_tokens += prompt.prompt.ids.size();
  }
}

void GenerationResponder::poll(ResponseWriter& writer) {
  if (done_) return;
  const auto per_prompt = static_cast<std::size_t>(setup_.answers_per_prompt);
  for (std::size_t i = 0; i < setup_.prompts.size(); ++i) {
    if (setup_.prompts[i].stream) take(setup_.prompts[i], i * per_prompt);
  }
  if (error_) return write_error(writer);
  const bool all_ended = num_ended_ == setup_.prompts.size();
  if (!setup_.stream) {
    if (all_ended) write_whole(writer);
    return;
  }
  if (all_ended) {
    if (setup_.format->head().include_usage) {
      events_ += sse_event(setup_.format->usage_chunk(usage_));
    }
    events_ += kSseDone;
  }
  if (events_.empty()) return;
  begin(writer);
  writer.write(std::exchange(events_, ""));
  if (all_ended) {
    writer.finish();
    end();
  }
}

void GenerationResponder::begin(ResponseWriter& writer) {
  if (std::exchange(begun_, true)) return;
  HttpResponse head;
  head.headers = setup_.headers;
  head.headers.add("Content-Type", "text/event-stream; charset=utf-8");
  head.headers.add("Cache-Control", "no-cache");
  head.headers.add("X-Accel-Buffering", "no");
  writer.begin(std::move(head));
}

void GenerationResponder::take(RunningPrompt& prompt, std::size_t first_choice) {
  for (const Update& update : prompt.stream->take()) {
    if (!update.prompt_logprobs.empty()) prompt.prompt.logprobs = update.prompt_logprobs;
    add(prompt, update, first_choice);
    if (update.finish_reason == FinishReason::error && !error_) {
      error_ = update.error.empty() ? "the engine failed on this request" : update.error;
    }
    if (!update.last) continue;
    ++num_ended_;
    usage_.cached_tokens += static_cast<std::size_t>(prompt.stream->result().cached_prompt_tokens);
    prompt.stream.reset();
    return;
  }
}

void GenerationResponder::add(RunningPrompt& prompt, const Update& update,
                              std::size_t first_choice) {
  const auto sequence = static_cast<std::size_t>(update.sequence);
  Choice& choice = choices_[first_choice + sequence];
  ChoiceOutput output;
  output.index = choice.output.index;
  output.finish_reason = update.finish_reason;
  if (setup_.only_prompt) {
    const bool good = output.finish_reason && *output.finish_reason != FinishReason::error;
    if (good && output.finish_reason != FinishReason::cancelled) {
      output.finish_reason = FinishReason::length;
    }
    return pass_on(prompt, std::move(output), choice);
  }
  usage_.completion_tokens += update.token_ids.size();
  output.token_ids = update.token_ids;
  output.logprobs = update.logprobs;
  if (prompt.parsers.empty()) {
    output.content = update.text;
  } else {
    AnswerPiece piece = prompt.parsers[sequence].add(update.text, update.finish_reason.has_value());
    output.content = std::move(piece.content);
    output.reasoning = std::move(piece.reasoning);
  }
  pass_on(prompt, std::move(output), choice);
}

void GenerationResponder::pass_on(const RunningPrompt& prompt, ChoiceOutput output,
                                  Choice& choice) {
  if (setup_.stream) {
    stream_update(prompt, output, choice);
  } else {
    append(choice.output, std::move(output));
  }
}

void GenerationResponder::stream_update(const RunningPrompt& prompt, const ChoiceOutput& output,
                                        Choice& choice) {
  if (output.finish_reason == FinishReason::error) {
    // The error has an event of its own; what came with it is output like any other.
    if (output.token_ids.empty() && output.content.empty() && output.reasoning.empty()) return;
    ChoiceOutput without_end = output;
    without_end.finish_reason.reset();
    return stream_update(prompt, without_end, choice);
  }
  AnswerFormat& format = *setup_.format;
  const auto emit = [&](OrderedJson json) {
    if (!json.is_null()) events_ += sse_event(format.chunk(std::move(json)));
  };
  if (!std::exchange(choice.begun, true)) {
    emit(format.first_choice(output.index, prompt.prompt));
  }
  emit(format.next_choice(output));
  if (output.finish_reason) emit(format.last_choice(output));
}

void GenerationResponder::write_error(ResponseWriter& writer) {
  const ApiError error(500, *error_, "", "generation_failed");
  if (begun_ || !events_.empty()) {  // output came first, however late it was asked for
    begin(writer);
    writer.write(events_ + sse_event(error.json()) + kSseDone);
    writer.finish();
  } else {
    HttpResponse response = error.response();
    for (const auto& [name, value] : setup_.headers.fields()) response.headers.add(name, value);
    writer.respond(std::move(response));
  }
  end();
}

void GenerationResponder::write_whole(ResponseWriter& writer) {
  OrderedJson choices = OrderedJson::array();
  const auto per_prompt = static_cast<std::size_t>(setup_.answers_per_prompt);
  for (std::size_t i = 0; i < choices_.size(); ++i) {
    choices.push_back(
        setup_.format->whole_choice(choices_[i].output, setup_.prompts[i / per_prompt].prompt));
  }
  HttpResponse response = json_response(setup_.format->whole(std::move(choices), usage_));
  for (const auto& [name, value] : setup_.headers.fields()) response.headers.add(name, value);
  writer.respond(std::move(response));
  end();
}

void GenerationResponder::end() {
  done_ = true;
  for (RunningPrompt& prompt : setup_.prompts) prompt.stream.reset();
}

}  // namespace quern::tools
