#pragma once

#include <cstdint>

#include "graph/op.h"
#include "io/json/json.h"
#include "model/config/config.h"

namespace quern {

/// The rope of LLaMA's and its relatives' configs: `rope_theta` with `rope_scaling`, or
/// transformers 5's `rope_parameters`. `config` must already have head_dim and
/// max_position_embeddings. Errors: bad_file for a value out of range or missing; unsupported for
/// an unknown type or section. A key that is unknown is a warning. Source: HF
/// modeling_rope_utils.py, PreTrainedConfig::convert_rope_params_to_dict.
Rope read_rope(const JsonObject& object, const ModelConfig& config);

/// Tokens of a sequence for which the model's positions are defined: max_position_embeddings, or
/// what a rope that stretches positions by a factor makes of the length it starts from.
std::int64_t defined_context(const ModelConfig& config);

/// True when longer sequences are defined too, of any length: the rope's base grows with them.
bool extends_context(const ModelConfig& config);

/// Refuses what no rope can be computed for. Errors: bad_file naming `key` as the cause.
void check_rotary_dim(const JsonObject& object, std::string_view key, const Rope& rope);

}  // namespace quern
