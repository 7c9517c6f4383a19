#pragma once

#include <memory>

#include "quern/tokenizer.h"

namespace quern {

/// Stands in for a tokenizer where a model has none: its ids have no text. encode() throws
/// invalid_argument.
std::unique_ptr<Tokenizer> make_no_tokenizer();

}  // namespace quern
