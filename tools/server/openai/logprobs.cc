#include "tools/server/openai/logprobs.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "quern/text.h"

namespace quern::tools {
namespace {

std::string bytes_of(std::int32_t id, const Tokenizer* tokenizer) {
  return tokenizer == nullptr ? fmt::format("<{}>", id) : tokenizer->token_bytes(id);
}

/// JSON has no infinities; clients expect a number.
double finite(float logprob) {
  constexpr double kLowest = -9999;
  return std::isfinite(logprob) ? shortest(logprob) : kLowest;
}

OrderedJson entry(std::int32_t id, float logprob, const Tokenizer* tokenizer) {
  const std::string bytes = bytes_of(id, tokenizer);
  OrderedJson numbers = OrderedJson::array();
  for (const char c : bytes) numbers.push_back(static_cast<unsigned char>(c));
  return {{"token", replace_invalid_utf8(bytes)},
          {"logprob", finite(logprob)},
          {"bytes", std::move(numbers)}};
}

std::string token_name(std::int32_t id, const Tokenizer* tokenizer) {
  std::string bytes = bytes_of(id, tokenizer);
  if (!invalid_utf8_at(bytes)) return bytes;
  std::string name = "bytes:";
  for (const char c : bytes) name += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
  return name;
}

/// Characters that begin in these bytes.
std::size_t num_characters(const std::string& bytes) {
  return static_cast<std::size_t>(
      std::ranges::count_if(bytes, [](char c) { return (c & 0xc0) != 0x80; }));
}

}  // namespace

OrderedJson chat_logprobs(std::span<const TokenLogprobs> logprobs, const Tokenizer* tokenizer) {
  OrderedJson list = OrderedJson::array();
  for (const TokenLogprobs& token : logprobs) {
    OrderedJson json = entry(token.id, token.logprob, tokenizer);
    json["top_logprobs"] = OrderedJson::array();
    for (const TokenLogprob& top : token.top) {
      json["top_logprobs"].push_back(entry(top.id, top.logprob, tokenizer));
    }
    list.push_back(std::move(json));
  }
  return list;
}

void CompletionLogprobs::add_token(std::int32_t id) {
  tokens_.push_back(token_name(id, tokenizer_));
  offsets_.push_back(offset_);
  offset_ += num_characters(bytes_of(id, tokenizer_));
}

void CompletionLogprobs::add_unscored(std::int32_t id) {
  add_token(id);
  chosen_.push_back(nullptr);
  tops_.push_back(nullptr);
}

void CompletionLogprobs::add(std::span<const TokenLogprobs> logprobs) {
  for (const TokenLogprobs& token : logprobs) {
    add_token(token.id);
    chosen_.push_back(finite(token.logprob));
    OrderedJson top = OrderedJson::object();
    for (const TokenLogprob& each : token.top) {
      top[token_name(each.id, tokenizer_)] = finite(each.logprob);
    }
    top[token_name(token.id, tokenizer_)] = finite(token.logprob);
    tops_.push_back(std::move(top));
  }
}

OrderedJson CompletionLogprobs::take_json() {
  return {{"tokens", std::move(tokens_)},
          {"token_logprobs", std::move(chosen_)},
          {"top_logprobs", std::move(tops_)},
          {"text_offset", std::move(offsets_)}};
}

}  // namespace quern::tools
