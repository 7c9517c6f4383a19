#include "tools/load/answer_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "quern/text.h"

namespace quern::tools {
namespace {

using Json = nlohmann::json;

constexpr int kOk = 200;
constexpr std::size_t kMaxErrorBody = 16 << 10;
constexpr std::size_t kMaxEventBytes = 64 << 20;
constexpr std::size_t kMaxMessage = 300;

double ms_between(AnswerReader::Clock::time_point begin, AnswerReader::Clock::time_point end) {
  return std::chrono::duration<double, std::milli>(end - begin).count();
}

/// The member of that name where `json` is an object that has it; else null.
const Json* member(const Json& json, const char* name) {
  if (!json.is_object()) return nullptr;
  const auto found = json.find(name);
  return found == json.end() || found->is_null() ? nullptr : &*found;
}

std::optional<std::size_t> count_of(const Json& json, const char* name) {
  const Json* value = member(json, name);
  if (value == nullptr || !value->is_number_unsigned()) return std::nullopt;
  return value->get<std::size_t>();
}

/// Whether a choice of a chunk stands for a token: it has text, or one that is empty since the
/// token completes no character. Not the first chunk, which tells the role, nor the last.
bool has_output(const Json& choice) {
  const Json* delta = member(choice, "delta");
  const Json& holder = delta != nullptr ? *delta : choice;
  bool has_text = false;
  for (const char* name : {"text", "content", "reasoning_content", "reasoning"}) {
    const Json* text = member(holder, name);
    if (text == nullptr || !text->is_string()) continue;
    if (!text->get_ref<const std::string&>().empty()) return true;
    has_text = true;
  }
  return has_text && member(holder, "role") == nullptr &&
         member(choice, "finish_reason") == nullptr;
}

/// The message of {"error": {"message"}} or {"error": "…"}, or the JSON itself.
std::string message_of(const Json& error) {
  if (const Json* message = member(error, "message"); message != nullptr && message->is_string()) {
    return message->get<std::string>();
  }
  if (error.is_string()) return error.get<std::string>();
  return error.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

std::optional<double> AnswerRecord::time_per_output_token_ms() const {
  if (output_tokens < 2) return std::nullopt;
  return (latency_ms - first_token_ms) / static_cast<double>(output_tokens - 1);
}

void AnswerReader::head(int status, std::string_view content_type) {
  status_ = status;
  is_stream_ = content_type.substr(0, content_type.find(';')) == "text/event-stream";
  if (status_ == kOk && !is_stream_) {
    fail("bad_stream",
         fmt::format("expected text/event-stream, got {}", quoted_name(content_type)));
  }
}

void AnswerReader::body(std::string_view bytes, Clock::time_point now) {
  if (status_ != kOk) {
    error_body_ += bytes.substr(0, kMaxErrorBody - std::min(kMaxErrorBody, error_body_.size()));
    return;
  }
  if (!is_stream_ || record_.failed()) return;
  for (const std::string& data : events_.feed(bytes)) take_event(data, now);
  if (events_.num_pending_bytes() > kMaxEventBytes) {
    fail("bad_stream", fmt::format("an event has more than {} bytes", kMaxEventBytes));
  }
}

void AnswerReader::take_event(const std::string& data, Clock::time_point now) {
  ++num_events_;
  if (data == "[DONE]") {
    done_ = true;
    return;
  }
  const Json json = Json::parse(data, nullptr, false);
  if (!json.is_object()) {
    return fail("bad_stream", fmt::format("event {}: expected a JSON object, got {}", num_events_,
                                          quoted_name(data)));
  }
  if (const Json* error = member(json, "error")) return fail("stream_error", message_of(*error));
  if (const Json* model = member(json, "model"); model != nullptr && model->is_string()) {
    record_.model = model->get<std::string>();
  }
  if (const Json* usage = member(json, "usage")) {
    if (const auto count = count_of(*usage, "prompt_tokens")) record_.prompt_tokens = *count;
    if (const auto count = count_of(*usage, "completion_tokens")) counted_tokens_ = count;
  }
  const Json* choices = member(json, "choices");
  if (choices == nullptr || !choices->is_array()) return;
  for (const Json& choice : *choices) {
    if (has_output(choice)) return note_output(now);
    if (member(choice, "finish_reason") != nullptr && !finished_) finished_ = now;
  }
}

void AnswerReader::note_output(Clock::time_point now) {
  if (num_outputs_++ == 0) {
    record_.first_token_ms = ms_between(due_, now);
  } else {
    record_.inter_token_ms.push_back(ms_between(last_output_, now));
  }
  last_output_ = now;
}

void AnswerReader::fail(std::string kind, const std::string& message) {
  if (record_.failed()) return;
  record_.error_kind = std::move(kind);
  record_.error_message = shortened_text(replace_invalid_utf8(message), kMaxMessage);
}

AnswerRecord AnswerReader::end(const std::string& failure_kind, const std::string& failure_message,
                               Clock::time_point now) {
  // An answer of one token that completes no character has nothing but its end.
  const bool has_token = counted_tokens_.value_or(0) > 0;
  if (num_outputs_ == 0 && has_token && finished_) note_output(*finished_);
  if (status_ != 0 && status_ != kOk) {
    const Json json = Json::parse(error_body_, nullptr, false);
    const Json* error = member(json, "error");
    fail(fmt::format("http_{}", status_), error != nullptr ? message_of(*error) : error_body_);
  } else if (!failure_kind.empty()) {
    fail(failure_kind, failure_message);
  } else if (!done_) {
    fail("bad_stream", "the stream ended without data: [DONE]");
  } else if (num_outputs_ == 0) {
    fail("no_output", "the answer has no token");
  }
  // Behind the last output there may be usage and the end of the connection.
  record_.latency_ms = ms_between(due_, num_outputs_ > 0 ? last_output_ : now);
  record_.output_tokens = counted_tokens_.value_or(num_outputs_);
  return record_;
}

}  // namespace quern::tools
