#pragma once

#include "graph/graph.h"
#include "io/checkpoint.h"
#include "io/json/json.h"
#include "model/config/config.h"

namespace quern {

// Readers: one for each model type, from its own spelling of the keys to ModelConfig. They leave
// model_type, architecture and dtype to load_model_config, and of the token ids they set only what
// the family's class has by default.
// Errors: as load_model_config.

void read_gpt2_config(const JsonObject& object, ModelConfig& config);
void read_llama_config(const JsonObject& object, ModelConfig& config);
void read_mistral_config(const JsonObject& object, ModelConfig& config);
void read_qwen_config(const JsonObject& object, ModelConfig& config);
void read_qwen2_config(const JsonObject& object, ModelConfig& config);
void read_qwen3_config(const JsonObject& object, ModelConfig& config);

// Builders: one for each layout of checkpoints; see build_graph for the meaning and the errors.
// Without a checkpoint the tensors get their usual names, and nothing is looked up.

Graph build_gpt2(const ModelConfig& config, const Checkpoint* checkpoint, DType dtype);
/// LLaMA's layout, which Mistral, Qwen2 and Qwen3 share; the config says which biases and norms
/// there are.
Graph build_llama(const ModelConfig& config, const Checkpoint* checkpoint, DType dtype);
/// Qwen's first generation.
Graph build_qwen(const ModelConfig& config, const Checkpoint* checkpoint, DType dtype);

}  // namespace quern
