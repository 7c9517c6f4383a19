#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "quern/request.h"
#include "quern/tokenizer.h"
#include "tools/output/json_output.h"

namespace quern::tools {

/// The form of chats: [{"token", "logprob", "bytes", "top_logprobs": […]}].
OrderedJson chat_logprobs(std::span<const TokenLogprobs> logprobs, const Tokenizer* tokenizer);

/// The form of completions: {"tokens", "token_logprobs", "top_logprobs", "text_offset"}. A token
/// that is no text of its own is "bytes:\xe4".
class CompletionLogprobs {
 public:
  /// Moves `offset`, in characters, behind the tokens that are added.
  CompletionLogprobs(const Tokenizer* tokenizer, std::size_t& offset)
      : tokenizer_(tokenizer), offset_(offset) {}

  void add(std::span<const TokenLogprobs> logprobs);
  /// A token without log-probabilities: the first of a text.
  void add_unscored(std::int32_t id);
  OrderedJson take_json();

 private:
  void add_token(std::int32_t id);

  const Tokenizer* tokenizer_;
  std::size_t& offset_;
  OrderedJson tokens_ = OrderedJson::array();
  OrderedJson chosen_ = OrderedJson::array();
  OrderedJson tops_ = OrderedJson::array();
  OrderedJson offsets_ = OrderedJson::array();
};

}  // namespace quern::tools
