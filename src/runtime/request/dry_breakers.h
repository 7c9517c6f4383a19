#pragma once

#include <string>
#include <vector>

#include "graph/step.h"
#include "quern/sampling.h"
#include "quern/tokenizer.h"

namespace quern {

/// SamplingParams::dry_sequence_breakers, or the default ones.
std::vector<std::string> dry_sequence_breakers(const SamplingParams& params);

/// Where DRY is on, adds to the row the tokens that end a repetition: the last one of each text
/// after a letter, as text-generation-webui takes them. Errors: invalid_argument for an empty text,
/// for one that is not UTF-8, and for more tokens than a row holds.
void add_dry_breakers(const SamplingParams& params, const Tokenizer& tokenizer, SamplingRow& row);

}  // namespace quern
