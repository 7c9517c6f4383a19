#pragma once

#include <string>

#include "base/error.h"
#include "quern/tokenizer.h"

namespace quern::testing {

/// A tokenizer whose ids are bytes; 0 is special.
class ByteTokenizer : public Tokenizer {
 public:
  std::vector<std::int32_t> encode(std::string_view text, const EncodeOptions&) const override {
    std::vector<std::int32_t> ids;
    for (const char byte : text) ids.push_back(static_cast<unsigned char>(byte));
    return ids;
  }
  std::string token_bytes(std::int32_t id) const override {
    if (id < 0 || id > 255) fail(ErrorCode::invalid_argument, "id {}", id);
    return id == 0 ? "<end>" : std::string(1, static_cast<char>(id));
  }
  std::string decode(std::span<const std::int32_t> ids, bool) const override {
    std::string text;
    for (const auto id : ids) text += token_bytes(id);
    return text;
  }
  bool is_special(std::int32_t id) const override { return id == 0; }
  std::optional<std::int32_t> token_to_id(std::string_view token) const override {
    return token == "<end>" ? std::optional(0) : std::nullopt;
  }
  std::int32_t vocab_size() const override { return 256; }
  std::optional<std::int32_t> bos_id() const override { return std::nullopt; }
  std::vector<std::int32_t> eos_ids() const override { return {0}; }
  bool drops_leading_space() const override { return false; }
  std::string description() const override { return "bytes"; }
};

}  // namespace quern::testing
