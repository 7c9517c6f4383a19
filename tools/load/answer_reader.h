#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tools/load/event_reader.h"

namespace quern::tools {

/// What became of one request. Times in milliseconds.
struct AnswerRecord {
  std::string error_kind;              ///< "http_429", "stream_error", …; empty: a whole answer
  std::string error_message;           ///< of the server, or ours
  double first_token_ms = 0;           ///< from when the request was due
  double latency_ms = 0;               ///< to the last token; of a failed answer to its end
  std::vector<double> inter_token_ms;  ///< between two events with output
  std::size_t prompt_tokens = 0;       ///< as the server counts; 0: it does not tell
  std::size_t output_tokens = 0;       ///< the same; else the number of events with output
  std::string model;                   ///< as the server calls it

  bool failed() const { return !error_kind.empty(); }
  /// Milliseconds per token after the first; nothing with one token.
  std::optional<double> time_per_output_token_ms() const;
};

/// Follows the streamed answer of an OpenAI server as its bytes come, and notes when. An event
/// counts as output if a choice has text, also an empty one, as of a token that completes no
/// character; not if it only tells the role or the finish_reason.
class AnswerReader {
 public:
  using Clock = std::chrono::steady_clock;

  /// `due` is what times count from.
  explicit AnswerReader(Clock::time_point due) : due_(due) {}

  void head(int status, std::string_view content_type);
  void body(std::string_view bytes, Clock::time_point now);
  /// The end of the answer; with a `failure_kind` the connection's.
  AnswerRecord end(const std::string& failure_kind, const std::string& failure_message,
                   Clock::time_point now);

 private:
  void take_event(const std::string& data, Clock::time_point now);
  void note_output(Clock::time_point now);
  void fail(std::string kind, const std::string& message);

  Clock::time_point due_;
  int status_ = 0;
  bool is_stream_ = false;
  bool done_ = false;
  std::string error_body_;
  EventReader events_;
  std::size_t num_events_ = 0;
  std::size_t num_outputs_ = 0;
  std::optional<std::size_t> counted_tokens_;
  Clock::time_point last_output_;
  std::optional<Clock::time_point> finished_;  ///< the first choice with a finish_reason
  AnswerRecord record_;
};

}  // namespace quern::tools
