#pragma once

#include "graph/op.h"
#include "io/json.h"
#include "model/config/config.h"

namespace quern {

/// The rope of LLaMA's and its relatives' configs: `rope_theta` with `rope_scaling`, or
/// transformers 5's `rope_parameters`. `config` must already have head_dim and
/// max_position_embeddings. Errors: bad_file for a value out of range or missing; unsupported for
/// an unknown type or key. Source: HF modeling_rope_utils.py.
Rope read_rope(const JsonObject& object, const ModelConfig& config);

/// Refuses what no rope can be computed for. Errors: bad_file naming `key` as the cause.
void check_rotary_dim(const JsonObject& object, std::string_view key, const Rope& rope);

}  // namespace quern
