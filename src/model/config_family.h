#pragma once

#include "io/json.h"
#include "model/config.h"

namespace quern {

// One reader for each model type: from its own spelling of the keys to ModelConfig. They leave
// model_type, architecture, vocab_size, dtype and the token ids to load_model_config.
// Errors: as load_model_config.

void read_gpt2_config(const JsonObject& object, ModelConfig& config);
void read_llama_config(const JsonObject& object, ModelConfig& config);
void read_qwen_config(const JsonObject& object, ModelConfig& config);
void read_qwen2_config(const JsonObject& object, ModelConfig& config);
void read_qwen3_config(const JsonObject& object, ModelConfig& config);

}  // namespace quern
