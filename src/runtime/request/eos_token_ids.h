#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "model/config/config.h"
#include "model/config/generation_config.h"
#include "quern/tokenizer.h"

namespace quern {

/// Every id that ends a generation, with the sources that name it joined by ", ": the union of
/// config.json, generation_config.json, the tokenizer's files and the chat format. Ascending by id.
std::vector<std::pair<std::int32_t, std::string>> collect_eos_token_ids(
    const ModelConfig& config, const GenerationConfig& generation, const Tokenizer& tokenizer);

}  // namespace quern
