#include "runtime/output/output_text.h"

namespace quern {

std::string OutputText::add(std::int32_t id) {
  // A model's vocabulary may be padded beyond its tokenizer's; such ids have no text.
  if (id >= tokenizer_->vocab_size()) return {};
  std::string text = stop_.add(detokenizer_.add(id));
  // A special token's text can match without being shown.
  if (hides_special_ && tokenizer_->is_special(id)) {
    text += stop_.add_hidden(tokenizer_->token_bytes(id));
  }
  if (would_stop()) text += stop_.add(detokenizer_.finish());
  return text;
}

bool OutputText::would_stop() const {
  if (!stop_.has_stops() || stop_.matched()) return false;
  Detokenizer detokenizer = detokenizer_;
  const std::string waiting = detokenizer.finish();
  if (waiting.empty()) return false;
  StopMatcher stop = stop_;
  stop.add(waiting);
  return stop.matched();
}

std::string OutputText::finish() {
  std::string text;
  if (!stop_.matched()) text = stop_.add(detokenizer_.finish());
  text += stop_.finish();
  return text;
}

}  // namespace quern
