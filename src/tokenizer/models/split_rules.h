#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "tokenizer/models/merge_rules.h"

namespace quern {

/// A token that two shorter ones may become, whichever they are.
struct RankedToken {
  std::string_view text;
  std::int32_t id;
  std::int32_t rank;
};

/// Every way to make a token of two others as a rule of its rank: how tiktoken's and
/// SentencePiece's files mean their tokens. Cost: linear in the tokens' bytes and the rules.
MergeRules rules_of_splits(const std::vector<RankedToken>& tokens);
/// The same with tokens cut between characters only, and a rank for each rule: by the place of the
/// token in `tokens`, then the shorter left part first, as transformers orders the merges of a
/// SentencePiece model. The tokens' own ranks do not count.
MergeRules ordered_rules_of_splits(const std::vector<RankedToken>& tokens);

}  // namespace quern
