#include "tokenizer/folder_tokenizer.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/error.h"
#include "base/utf8.h"

namespace quern {

Tokenizer::~Tokenizer() = default;

FolderTokenizer::FolderTokenizer(TokenizerParts parts)
    : parts_(std::move(parts)),
      added_tokens_(std::move(parts_.added_tokens),
                    [this](std::string_view text) { return parts_.model->normalize(text); }),
      vocab_size_(parts_.model->size()) {
  for (const AddedToken& token : added_tokens_.tokens()) {
    vocab_size_ = std::max(vocab_size_, token.id + 1);
  }
}

std::vector<std::int32_t> FolderTokenizer::encode(std::string_view text,
                                                  const EncodeOptions& options) const {
  if (text.size() >= static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max())) {
    fail(ErrorCode::invalid_argument, "the text has {} bytes, expected fewer than 2^31",
         text.size());
  }
  if (const auto at = invalid_utf8_at(text)) {
    fail(ErrorCode::invalid_argument, "the text is not UTF-8: byte {} is {:#04x}", *at,
         static_cast<unsigned char>(text[*at]));
  }
  std::vector<std::int32_t> ids = prefix(options);
  encode_text(text, options.parse_special, ids);
  if (options.add_bos.value_or(true)) {
    ids.insert(ids.end(), parts_.suffix_ids.begin(), parts_.suffix_ids.end());
  }
  return ids;
}

std::vector<std::int32_t> FolderTokenizer::prefix(const EncodeOptions& options) const {
  if (!options.add_bos) return parts_.prefix_ids;
  if (!*options.add_bos) return {};
  if (!parts_.prefix_ids.empty()) return parts_.prefix_ids;
  if (!parts_.bos_id) {
    fail(ErrorCode::invalid_argument, "add_bos: this tokenizer has no BOS token ({})",
         parts_.description);
  }
  return {*parts_.bos_id};
}

void FolderTokenizer::encode_text(std::string_view text, bool parse_special,
                                  std::vector<std::int32_t>& ids) const {
  bool at_start = true;
  const auto take = [&](std::string_view piece, const AddedToken* token) {
    if (token != nullptr) {
      ids.push_back(token->id);
    } else {
      parts_.model->encode(piece, at_start, ids);
    }
    at_start = false;
  };
  added_tokens_.split(
      text, false, parse_special, [&](std::string_view piece, const AddedToken* token) {
        if (token != nullptr) return take(piece, token);
        added_tokens_.split(parts_.model->normalize(piece), true, parse_special, take);
      });
}

void FolderTokenizer::check_id(std::int32_t id) const {
  if (id < 0 || id >= vocab_size_) {
    fail(ErrorCode::invalid_argument, "token id {} is outside the vocabulary, expected 0 to {}", id,
         vocab_size_ - 1);
  }
}

std::string FolderTokenizer::token_bytes(std::int32_t id) const {
  check_id(id);
  if (const AddedToken* token = added_tokens_.find(id)) return token->content;
  return id < parts_.model->size() ? parts_.model->token_bytes(id) : std::string();
}

std::string FolderTokenizer::decode(std::span<const std::int32_t> ids, bool skip_special) const {
  std::string bytes;
  for (const std::int32_t id : ids) {
    check_id(id);
    if (!skip_special || !is_special(id)) bytes += token_bytes(id);
  }
  if (drops_leading_space() && bytes.starts_with(' ')) bytes.erase(0, 1);
  return replace_invalid_utf8(bytes);
}

bool FolderTokenizer::is_special(std::int32_t id) const {
  const AddedToken* token = added_tokens_.find(id);
  return token != nullptr && token->special;
}

std::optional<std::int32_t> FolderTokenizer::token_to_id(std::string_view token) const {
  if (const AddedToken* added = added_tokens_.find(token)) return added->id;
  return parts_.model->find(token);
}

}  // namespace quern
