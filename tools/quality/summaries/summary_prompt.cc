#include "tools/quality/summaries/summary_prompt.h"

#include <string_view>

#include "tools/cli/fail.h"
#include "tools/input/trimmed_text.h"

namespace quern::tools {
namespace {

constexpr std::string_view kTurnBegin = "<|im_start|>";
constexpr std::string_view kChatHead =
    "<|im_start|>system\n"
    "You are a helpful assistant, please summarize the article entered by the user with one or two "
    "sentences.<|im_end|>\n"
    "<|im_start|>user\n";
constexpr std::string_view kChatTail = "<|im_end|>\n<|im_start|>assistant\n";

/// The data set writes "do n't".
std::string with_joined_negations(std::string text) {
  constexpr std::string_view kApart = " n't";
  for (std::size_t at = text.find(kApart); at != std::string::npos; at = text.find(kApart, at)) {
    text.erase(at, 1);
  }
  return text;
}

void keep_last(std::vector<std::int32_t>& ids, std::size_t count) {
  if (ids.size() > count) ids.erase(ids.begin(), ids.end() - static_cast<std::ptrdiff_t>(count));
}

}  // namespace

const char* prompt_style_name(PromptStyle style) {
  return style == PromptStyle::chat ? "chat" : "tldr";
}

PromptStyle default_prompt_style(const Tokenizer& tokenizer) {
  return tokenizer.token_to_id(kTurnBegin) ? PromptStyle::chat : PromptStyle::tldr;
}

SummaryPrompter::SummaryPrompter(const Tokenizer& tokenizer, PromptStyle style,
                                 int max_input_length)
    : tokenizer_(&tokenizer),
      style_(style),
      max_article_tokens_(static_cast<std::size_t>(max_input_length)) {
  if (style == PromptStyle::tldr) return;
  if (!tokenizer.token_to_id(kTurnBegin)) {
    fail(ErrorCode::invalid_argument, "prompt style chat: {} has no token '{}'",
         tokenizer.description(), kTurnBegin);
  }
  head_ = tokenizer.encode(kChatHead, {.add_bos = false});
  tail_ = tokenizer.encode(kChatTail, {.add_bos = false});
  const std::size_t own_tokens = head_.size() + tail_.size();
  if (max_article_tokens_ <= own_tokens) {
    fail(ErrorCode::invalid_argument,
         "prompt style chat: expected a max_input_length above {}, its own tokens, got {}",
         own_tokens, max_input_length);
  }
  max_article_tokens_ -= own_tokens;
}

std::vector<std::int32_t> SummaryPrompter::prompt_ids(const std::string& article) const {
  if (style_ == PromptStyle::tldr) {
    const std::string text = article + " TL;DR:";
    auto ids = tokenizer_->encode(with_joined_negations(std::string(trimmed_text(text))));
    keep_last(ids, max_article_tokens_);
    return ids;
  }
  const std::string text = with_joined_negations(std::string(trimmed_text(article)));
  // An article may not end its own turn: special tokens written in it are text.
  auto ids = tokenizer_->encode(text, {.parse_special = false, .add_bos = false});
  keep_last(ids, max_article_tokens_);
  ids.insert(ids.begin(), head_.begin(), head_.end());
  ids.insert(ids.end(), tail_.begin(), tail_.end());
  return ids;
}

}  // namespace quern::tools
