#include "tokenizer/folder/folder_tokenizer.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/error.h"
#include "base/text/utf8.h"
#include "tokenizer/decode/clean_up.h"
#include "tokenizer/plain_text.h"

namespace quern {
namespace {

constexpr std::size_t kNoLimit = std::numeric_limits<std::size_t>::max();

[[noreturn]] void refuse_length(std::string_view bound, std::size_t num_ids, std::size_t max_ids,
                                std::size_t num_bytes) {
  fail(ErrorCode::invalid_argument,
       "the prompt's text of {} bytes has {} {} tokens, expected at most {}", num_bytes, bound,
       num_ids, max_ids);
}

}  // namespace

Tokenizer::~Tokenizer() = default;

FolderTokenizer::FolderTokenizer(TokenizerParts parts)
    : parts_(std::move(parts)),
      added_tokens_(std::move(parts_.added_tokens),
                    [this](std::string_view text) {
                      NormalizedText normalized{std::string(text)};
                      normalize(parts_.normalizers, normalized);
                      return std::move(normalized.text);
                    }),
      vocab_size_(parts_.model->size()) {
  for (const AddedToken& token : added_tokens_.tokens()) {
    vocab_size_ = std::max(vocab_size_, token.id + 1);
  }
  const std::size_t model_bytes = parts_.model->max_token_bytes();
  if (model_bytes > 0 && !parts_.model->fuses_unknown() && !added_tokens_.strips()) {
    max_token_bytes_ =
        std::max(model_bytes, added_tokens_.max_token_bytes()) * parts_.max_shrinkage;
  }
  note_decoders();
}

void FolderTokenizer::note_decoders() {
  bool is_fused = false;
  for (const auto& decoder : parts_.decoders) {
    if (dynamic_cast<const ByteFallbackDecoder*>(decoder.get())) has_byte_fallback_ = true;
    if (dynamic_cast<const FuseDecoder*>(decoder.get())) is_fused = true;
    if (dynamic_cast<const MetaspaceDecoder*>(decoder.get()) && !decoder->is_per_token()) {
      drops_leading_space_ = true;
    }
    if (dynamic_cast<const SpacesDecoder*>(decoder.get())) drops_leading_space_ = true;
    const auto* strip = dynamic_cast<const StripDecoder*>(decoder.get());
    if (is_fused && strip != nullptr && strip->character() == " " && strip->start() > 0) {
      drops_leading_space_ = true;
    }
  }
}

std::vector<std::int32_t> FolderTokenizer::encode(std::string_view text,
                                                  const EncodeOptions& options) const {
  if (text.size() >= static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max())) {
    fail(ErrorCode::invalid_argument, "the text has {} bytes, expected fewer than 2^31",
         text.size());
  }
  const std::size_t max_ids =
      options.max_tokens ? static_cast<std::size_t>(std::max<std::int64_t>(*options.max_tokens, 0))
                         : kNoLimit;
  check_length(text, max_ids);
  if (const auto at = invalid_utf8_at(text)) {
    fail(ErrorCode::invalid_argument, "the text is not UTF-8: byte {} is {:#04x}", *at,
         static_cast<unsigned char>(text[*at]));
  }
  std::vector<std::int32_t> ids = prefix(options);
  encode_text(text, options, max_ids, ids);
  if (options.add_bos.value_or(true)) {
    ids.insert(ids.end(), parts_.suffix_ids.begin(), parts_.suffix_ids.end());
  }
  return ids;
}

void FolderTokenizer::check_length(std::string_view text, std::size_t max_ids) const {
  if (max_token_bytes_ == 0 || max_ids == kNoLimit) return;
  const std::size_t fewest = (text.size() + max_token_bytes_ - 1) / max_token_bytes_;
  if (fewest > max_ids) refuse_length("at least", fewest, max_ids, text.size());
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

void FolderTokenizer::encode_text(std::string_view text, const EncodeOptions& options,
                                  std::size_t max_ids, std::vector<std::int32_t>& ids) const {
  MatchBudget budget(text.size());
  const auto encoder = parts_.model->make_encoder(text.size());
  const auto check = [&] {
    if (ids.size() > max_ids) refuse_length("more than", ids.size() - 1, max_ids, text.size());
  };
  const PreTokenizer::Sink encode_piece = [&](std::string_view piece, bool) {
    encoder->encode(piece, ids);
    check();
  };
  bool at_start = true;
  const auto take_normalized = [&](std::string_view piece, const AddedToken* token) {
    if (token != nullptr) {
      ids.push_back(token->id);
      check();
    } else {
      split(parts_.pre_tokenizers, piece, at_start, budget, encode_piece);
    }
    at_start = false;
  };
  const PlainText plain(text, options);
  added_tokens_.split(
      text, false, options.parse_special,
      [&](std::string_view piece, const AddedToken* token) {
        if (token != nullptr) return take_normalized(piece, token);
        if (parts_.normalizers.empty()) {
          return added_tokens_.split(piece, true, options.parse_special, take_normalized,
                                     plain.within(piece));
        }
        NormalizedText normalized{std::string(piece), true, &budget};
        normalize(parts_.normalizers, normalized);
        at_start = at_start && normalized.keeps_start;
        added_tokens_.split(normalized.text, true, options.parse_special, take_normalized,
                            plain.within_normalized(piece));
        at_start = false;
      },
      plain.within(text));
}

std::string FolderTokenizer::written(std::int32_t id) const {
  if (id < 0) {
    fail(ErrorCode::invalid_argument, "token id {} is negative, expected 0 to {}", id,
         vocab_size_ - 1);
  }
  if (added_tokens_.find(id) != nullptr) return added_tokens_.written(id);
  return id < parts_.model->size() ? parts_.model->token(id) : std::string();
}

std::string FolderTokenizer::token_bytes(std::int32_t id) const {
  std::vector<std::string> tokens = {written(id)};
  if (tokens.front().empty()) return {};
  if (is_byte(id))
    return std::string(1, static_cast<char>(ByteFallbackDecoder::byte_of(tokens[0])));
  if (has_byte_fallback_) {
    for (const auto& decoder : parts_.decoders) {
      if (dynamic_cast<const FuseDecoder*>(decoder.get())) break;
      if (decoder->is_per_token()) decoder->decode(tokens);
    }
    return tokens.front();
  }
  // In front of another token, behind another token.
  tokens.insert(tokens.begin(), "");
  tokens.emplace_back();
  for (const auto& decoder : parts_.decoders) {
    if (dynamic_cast<const FuseDecoder*>(decoder.get())) break;
    decoder->decode(tokens);
  }
  return tokens[1];
}

std::string FolderTokenizer::decode(std::span<const std::int32_t> ids, bool skip_special) const {
  std::vector<std::string> tokens;
  tokens.reserve(ids.size());
  for (const std::int32_t id : ids) {
    std::string token = written(id);
    if (!token.empty() && (!skip_special || !is_special(id))) tokens.push_back(std::move(token));
  }
  for (const auto& decoder : parts_.decoders) decoder->decode(tokens);
  std::string bytes;
  for (const std::string& token : tokens) bytes += token;
  std::string text = replace_invalid_utf8(bytes);
  return parts_.cleans_up_spaces ? clean_up_spaces(text) : text;
}

bool FolderTokenizer::is_special(std::int32_t id) const {
  const AddedToken* token = added_tokens_.find(id);
  return token != nullptr && token->special;
}

bool FolderTokenizer::is_byte(std::int32_t id) const {
  return has_byte_fallback_ && ByteFallbackDecoder::byte_of(written(id)) >= 0;
}

std::optional<std::int32_t> FolderTokenizer::token_to_id(std::string_view token) const {
  if (const AddedToken* added = added_tokens_.find(token)) return added->id;
  return parts_.model->find(token);
}

}  // namespace quern
