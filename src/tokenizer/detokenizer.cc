#include "tokenizer/detokenizer.h"

#include <utility>

#include "base/text/utf8.h"

namespace quern {
namespace {

constexpr const char* kReplacementCharacter = "\uFFFD";

}  // namespace

Detokenizer::Detokenizer(const Tokenizer& tokenizer, bool skip_special, Start start)
    : tokenizer_(&tokenizer), skip_special_(skip_special), at_start_(start == Start::text) {
  if (tokenizer.cleans_up_spaces()) cleaner_.emplace();
}

std::string Detokenizer::add(std::int32_t id) {
  std::string text = decode(id);
  return cleaner_ ? cleaner_->add(text) : text;
}

std::string Detokenizer::decode(std::int32_t id) {
  // Models round their vocabulary up, so they may draw ids that no token has.
  if (id >= tokenizer_->vocab_size()) return {};
  if (skip_special_ && tokenizer_->is_special(id)) return {};
  std::string bytes = tokenizer_->token_bytes(id);
  if (bytes.empty()) return {};
  if (tokenizer_->is_byte(id)) return take_byte(bytes.front());
  std::string text = flush_bytes();
  return text += take(bytes);
}

std::string Detokenizer::take_byte(char byte) {
  if (bytes_are_broken_) return take(kReplacementCharacter);
  bytes_ += byte;
  bool is_broken = false;
  for (std::string_view rest = std::string_view(bytes_).substr(checked_bytes_); !rest.empty();) {
    const Utf8Piece piece = first_utf8_piece(rest);
    if (piece.status == Utf8Status::incomplete) break;
    is_broken = piece.status == Utf8Status::broken;
    if (is_broken) break;
    checked_bytes_ += piece.length_bytes;
    rest.remove_prefix(piece.length_bytes);
  }
  if (!is_broken) return {};
  bytes_are_broken_ = true;
  return replace_bytes();
}

std::string Detokenizer::replace_bytes() {
  std::string replaced;
  for (std::size_t i = 0; i < bytes_.size(); ++i) replaced += kReplacementCharacter;
  bytes_.clear();
  return take(replaced);
}

std::string Detokenizer::flush_bytes() {
  std::string text;
  if (!bytes_.empty()) {
    text = checked_bytes_ == bytes_.size() ? take(std::exchange(bytes_, {})) : replace_bytes();
  }
  bytes_.clear();
  checked_bytes_ = 0;
  bytes_are_broken_ = false;
  return text;
}

std::string Detokenizer::take(std::string_view bytes) {
  pending_ += bytes;
  if (at_start_) {
    if (tokenizer_->drops_leading_space() && pending_.front() == ' ') pending_.erase(0, 1);
    at_start_ = false;
  }
  std::size_t ready = 0;
  while (ready < pending_.size()) {
    const Utf8Piece piece = first_utf8_piece(std::string_view(pending_).substr(ready));
    if (piece.status == Utf8Status::incomplete) break;
    ready += piece.length_bytes;
  }
  std::string text = replace_invalid_utf8(std::string_view(pending_).substr(0, ready));
  pending_.erase(0, ready);
  return text;
}

std::string Detokenizer::finish() {
  std::string text = flush_bytes();
  text += replace_invalid_utf8(pending_);
  pending_.clear();
  if (cleaner_) {
    text = cleaner_->add(text);
    text += cleaner_->finish();
  }
  return text;
}

}  // namespace quern
