#pragma once

#include <cstdint>
#include <string>

#include "quern/tokenizer.h"

namespace quern {

/// Turns ids into text as they come and never gives out half a character: bytes wait until their UTF-8 sequence is whole or
/// is known to be broken (then U+FFFD, as decode() gives). The pieces joined equal Tokenizer::decode of all ids.
class Detokenizer {
 public:
  /// `tokenizer` must outlive this.
  Detokenizer(const Tokenizer& tokenizer, bool skip_special);

  /// The new text after `id`, perhaps empty.
  std::string add(std::int32_t id);
  /// What still waits, at the end of the ids.
  std::string finish();

 private:
  const Tokenizer* tokenizer_;
  bool skip_special_;
  bool at_start_ = true;
  std::string pending_;
};

}  // namespace quern
