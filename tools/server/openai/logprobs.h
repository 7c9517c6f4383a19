#pragma once

#include <cstddef>
#include <span>

#include "quern/request.h"
#include "quern/tokenizer.h"
#include "tools/output/json_output.h"

namespace quern::tools {

/// The form of chats: [{"token", "logprob", "bytes", "top_logprobs": […]}].
OrderedJson chat_logprobs(std::span<const TokenLogprobs> logprobs, const Tokenizer* tokenizer);

/// The form of completions: {"tokens", "token_logprobs", "top_logprobs", "text_offset"}. Moves
/// `offset`, in characters, behind them. A token that is no text of its own is "bytes:\xe4".
OrderedJson completion_logprobs(std::span<const TokenLogprobs> logprobs, const Tokenizer* tokenizer,
                                std::size_t& offset);

}  // namespace quern::tools
