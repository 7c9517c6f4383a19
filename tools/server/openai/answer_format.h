#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "quern/request.h"
#include "quern/tokenizer.h"
#include "tools/output/json_output.h"

namespace quern::tools {

/// Output of one choice: what is new of it or, added up, all.
struct ChoiceOutput {
  int index = 0;
  std::string content;
  std::string reasoning;
  std::vector<std::int32_t> token_ids;
  std::vector<TokenLogprobs> logprobs;
  std::optional<FinishReason> finish_reason;
};

/// The prompt of a choice. With log-probabilities, if they are shown: one for each id but the
/// first.
struct ChoicePrompt {
  std::vector<std::int32_t> ids;
  std::vector<TokenLogprobs> logprobs;
};

/// What the API calls a finish reason.
const char* api_finish_reason(FinishReason reason);

struct Usage {
  std::size_t prompt_tokens = 0;
  std::size_t completion_tokens = 0;
  std::size_t cached_tokens = 0;
};

OrderedJson usage_json(const Usage& usage);

/// What the parts of an answer have in common.
struct AnswerHead {
  std::string id;
  std::string model;
  std::int64_t created = 0;  ///< seconds since 1970
  bool include_usage = false;
  bool with_logprobs = false;
  bool return_token_ids = false;
  const Tokenizer* tokenizer = nullptr;  ///< null for random weights
};

/// The JSON of one kind of answer, whole or in chunks.
class AnswerFormat {
 public:
  explicit AnswerFormat(AnswerHead head) : head_(std::move(head)) {}
  virtual ~AnswerFormat() = default;

  /// The choices of a chunk: the first of a choice, what is new of it, its last. Null: no chunk.
  virtual OrderedJson first_choice(int index, const ChoicePrompt& prompt) = 0;
  virtual OrderedJson next_choice(const ChoiceOutput& output) = 0;
  virtual OrderedJson last_choice(const ChoiceOutput& output) = 0;
  /// A choice of a whole answer.
  virtual OrderedJson whole_choice(const ChoiceOutput& output, const ChoicePrompt& prompt) = 0;
  virtual const char* chunk_object() const = 0;
  virtual const char* whole_object() const = 0;

  /// A chunk with these choices; no usage in it yet.
  OrderedJson chunk(OrderedJson choices) const;
  /// The chunk behind the last choice.
  OrderedJson usage_chunk(const Usage& usage) const;
  OrderedJson whole(OrderedJson choices, const Usage& usage) const;
  const AnswerHead& head() const { return head_; }

 protected:
  OrderedJson object(const char* name) const;
  /// Whether a chunk tells this output. One of tokens without a text, as of random weights or half
  /// a character, has an empty text: clients see each token when it comes.
  bool shows(const ChoiceOutput& output) const;
  AnswerHead head_;
};

std::unique_ptr<AnswerFormat> make_chat_format(AnswerHead head);

/// `echoes` are the texts in front of the choices; empty: none. Log-probabilities are then shown of
/// the prompts, too.
std::unique_ptr<AnswerFormat> make_completion_format(AnswerHead head,
                                                     std::vector<std::string> echoes);

/// An event of a stream: "data: …" and an empty line.
std::string sse_event(const OrderedJson& json);
inline constexpr const char* kSseDone = "data: [DONE]\n\n";

}  // namespace quern::tools
