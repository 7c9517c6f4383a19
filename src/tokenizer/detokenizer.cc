#include "tokenizer/detokenizer.h"

#include "base/utf8.h"

namespace quern {

Detokenizer::Detokenizer(const Tokenizer& tokenizer, bool skip_special, Start start)
    : tokenizer_(&tokenizer), skip_special_(skip_special), at_start_(start == Start::text) {}

std::string Detokenizer::add(std::int32_t id) {
  // Models round their vocabulary up, so they may draw ids that no token has.
  if (id >= tokenizer_->vocab_size()) return {};
  if (skip_special_ && tokenizer_->is_special(id)) return {};
  pending_ += tokenizer_->token_bytes(id);
  if (at_start_ && !pending_.empty()) {
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
  std::string text = replace_invalid_utf8(pending_);
  pending_.clear();
  return text;
}

}  // namespace quern
