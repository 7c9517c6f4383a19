#include "tools/chat/session.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "tools/chat/chat_requests.h"
#include "tools/cli/fail.h"
#include "tools/generation/generate.h"

namespace quern::tools {
namespace {

/// Of the context at most this share is kept free for an answer.
constexpr std::size_t kAnswerShare = 4;

bool is_system(const OrderedJson& message) {
  return message["role"] == "system" || message["role"] == "developer";
}

using Clock = std::chrono::steady_clock;

double ms_between(Clock::time_point begin, Clock::time_point end) {
  return std::chrono::duration<double, std::milli>(end - begin).count();
}

}  // namespace

std::size_t ChatSession::num_system_messages() const {
  const auto end = std::find_if_not(messages_.begin(), messages_.end(), is_system);
  return static_cast<std::size_t>(end - messages_.begin());
}

/// A turn begins with a message of the user; the first also with what stands before it.
std::vector<std::size_t> ChatSession::turn_starts() const {
  std::vector<std::size_t> starts;
  const std::size_t first = num_system_messages();
  for (std::size_t i = first; i < messages_.size(); ++i) {
    const bool begins =
        messages_[i]["role"] == "user" && (i == first || messages_[i - 1]["role"] != "user");
    if (i == first || (begins && i > first)) starts.push_back(i);
  }
  return starts;
}

std::size_t ChatSession::num_turns() const { return turn_starts().size(); }

Messages ChatSession::without_turns(std::size_t count) const {
  const std::vector<std::size_t> starts = turn_starts();
  const auto at = [&](std::size_t i) { return messages_.begin() + static_cast<std::ptrdiff_t>(i); };
  Messages kept(messages_.begin(), at(num_system_messages()));
  kept.insert(kept.end(), at(starts[count]), messages_.end());
  return kept;
}

std::size_t ChatSession::max_prompt_tokens() const {
  const auto context = static_cast<std::size_t>(engine_->options().max_seq_len);
  Request request = request_;
  request.prompt_ids = {0};
  const auto answer =
      static_cast<std::size_t>(engine_->resolve(request).max_new_tokens.value_or(0));
  const std::size_t fitting = context - std::min(answer, context / kAnswerShare);
  const auto window = engine_->info().max_window_size;
  if (engine_->info().chat_format != "chatml" || !window) return fitting;
  return std::min(fitting, static_cast<std::size_t>(*window));
}

ChatFormat::Prompt ChatSession::fitting_prompt(const Observers& observers) {
  const Tokenizer& tokenizer = engine_->tokenizer();
  ChatFormat::Prompt prompt = format_->prompt(messages_, tokenizer);
  const std::size_t max_tokens = max_prompt_tokens();
  std::size_t low = 0;  // without so many turns it does not fit
  std::size_t high = num_turns() - 1;
  if (prompt.ids.size() > max_tokens) {
    // The last turn alone may use the room for an answer.
    prompt = format_->prompt(without_turns(high), tokenizer);
    const auto context = static_cast<std::size_t>(engine_->options().max_seq_len);
    if (prompt.ids.size() > context) {
      fail(ErrorCode::invalid_argument,
           "the message (with the system message) has {} tokens, the context {}: make it shorter",
           prompt.ids.size(), context);
    }
    while (high - low > 1) {
      const std::size_t middle = low + (high - low) / 2;
      ChatFormat::Prompt shorter = format_->prompt(without_turns(middle), tokenizer);
      if (shorter.ids.size() > max_tokens) {
        low = middle;
      } else {
        high = middle;
        prompt = std::move(shorter);
      }
    }
  } else {
    high = 0;
  }
  if (high > num_left_out_) observers.on_left_out(high);
  num_left_out_ = high;
  return prompt;
}

Result ChatSession::generate(const Observers& observers) {
  ChatFormat::Prompt prompt = fitting_prompt(observers);
  Request request = request_;
  request.prompt_ids = prompt.ids;
  AnswerTexts answer(1);
  answer.expect_chat(0, *format_, prompt);
  const Clock::time_point begin = Clock::now();
  std::optional<Clock::time_point> first;
  GenerateObservers generation;
  generation.interrupted = observers.interrupted;
  generation.on_update = [&](std::size_t, const Update& update) {
    if (!first && !update.token_ids.empty()) first = Clock::now();
    AnswerTexts::Shown shown = answer.shown(0, update);
    observers.on_piece({std::move(shown.update.text), std::move(shown.reasoning)});
  };
  generation.on_result = [](std::size_t, const Result&) {};
  Result result = answer.shown(0, generate_all(*engine_, {request}, generation).front());
  const Clock::time_point end = Clock::now();

  reasoning_ = answer.reasoning(0);
  AnswerStats stats;
  stats.prompt_tokens = result.prompt_ids.size();
  stats.cached_tokens = static_cast<std::size_t>(result.cached_prompt_tokens);
  stats.output_tokens = result.output_ids.size();
  stats.finish_reason = result.finish_reason;
  if (first) {
    stats.first_token_ms = ms_between(begin, *first);
    const double decode_ms = ms_between(*first, end);
    if (stats.output_tokens > 1 && decode_ms > 0) {
      stats.decode_tokens_per_s = 1e3 * static_cast<double>(stats.output_tokens - 1) / decode_ms;
    }
  }
  if (engine_->resolve(request).sampling.temperature.value_or(0) > 0) stats.seed = result.seed;
  stats_ = stats;
  if (result.finish_reason == FinishReason::error) return result;
  OrderedJson message = make_message("assistant", result.text);
  if (!reasoning_.empty()) message["reasoning_content"] = reasoning_;
  messages_.push_back(std::move(message));
  return result;
}

Result ChatSession::answer(Messages messages, const Observers& observers) {
  const Messages before = std::exchange(messages_, std::move(messages));
  try {
    Result result = generate(observers);
    if (result.finish_reason == FinishReason::error) messages_ = before;
    return result;
  } catch (...) {
    messages_ = before;
    throw;
  }
}

Result ChatSession::ask(const std::string& text, const Observers& observers) {
  Messages messages = messages_;
  messages.push_back(make_message("user", text));
  return answer(std::move(messages), observers);
}

/// Behind the last message of the user: 0 if there is none.
std::ptrdiff_t ChatSession::end_of_last_question() const {
  const auto last =
      std::find_if(messages_.rbegin(), messages_.rend(),
                   [](const OrderedJson& message) { return message["role"] == "user"; });
  return last.base() - messages_.begin();
}

Result ChatSession::regenerate(const Observers& observers) {
  const std::ptrdiff_t end = end_of_last_question();
  if (end == 0) fail(ErrorCode::invalid_argument, "there is no message to answer yet");
  return answer(Messages(messages_.begin(), messages_.begin() + end), observers);
}

void ChatSession::reset() {
  messages_.resize(num_system_messages());
  num_left_out_ = 0;
  stats_.reset();
}

std::optional<std::string> ChatSession::undo() {
  const std::ptrdiff_t end = end_of_last_question();
  if (end == 0) return std::nullopt;
  const auto last = messages_.begin() + end - 1;
  std::string text = last_content({*last});
  messages_.erase(last, messages_.end());
  num_left_out_ = 0;
  return text;
}

void ChatSession::set_system(const std::string& text) {
  const std::size_t count = num_system_messages();
  messages_.erase(messages_.begin(), messages_.begin() + static_cast<std::ptrdiff_t>(count));
  messages_.insert(messages_.begin(), make_message("system", text));
}

std::optional<std::string> ChatSession::system() const {
  if (num_system_messages() == 0) return std::nullopt;
  return last_content({messages_.front()});
}

void ChatSession::set_messages(Messages messages) {
  messages_ = std::move(messages);
  num_left_out_ = 0;
}

}  // namespace quern::tools
