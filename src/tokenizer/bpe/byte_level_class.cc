#include "tokenizer/bpe/byte_level_class.h"

#include <array>

#include "tokenizer/pretokenize/pretokenizer.h"

namespace quern {

const ByteLevelClass* find_byte_level_class(const std::string& name) {
  static constexpr std::array<ByteLevelClass, 2> kClasses = {
      {{"GPT2Tokenizer", kGpt2Pattern, false, true},
       {"Qwen2Tokenizer", kQwenPattern, true, false}}};
  for (const ByteLevelClass& known : kClasses) {
    if (name == known.name) return &known;
  }
  return nullptr;
}

DefaultTokens default_tokens(const std::string& class_name) {
  constexpr const char* kEndOfText = "<|endoftext|>";
  DefaultTokens defaults;
  if (const ByteLevelClass* known = find_byte_level_class(class_name)) {
    if (known->has_bos) defaults.bos = kEndOfText;
    defaults.eos = kEndOfText;
  }
  return defaults;
}

}  // namespace quern
