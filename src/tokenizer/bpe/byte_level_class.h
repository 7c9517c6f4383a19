#pragma once

#include <string>

#include "tokenizer/config/special_tokens.h"

namespace quern {

/// Defaults of Hugging Face's classes for byte-level BPE that the files may omit.
struct ByteLevelClass {
  const char* name;
  const char* pattern;  ///< how text is cut
  bool nfc;
  bool has_bos;  ///< <|endoftext|> is BOS as well as EOS
};

/// The class of that name (without "Fast"), or null.
const ByteLevelClass* find_byte_level_class(const std::string& name);

/// The control tokens of the class; none for an unknown one.
DefaultTokens default_tokens(const std::string& class_name);

}  // namespace quern
