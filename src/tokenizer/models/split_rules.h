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
/// SentencePiece's files mean their tokens. With `at_characters` tokens are cut between characters
/// only. Cost: linear in the tokens' bytes and the rules.
MergeRules rules_of_splits(const std::vector<RankedToken>& tokens, bool at_characters);

}  // namespace quern
