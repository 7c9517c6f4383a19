#pragma once

#include "graph/graph.h"
#include "io/checkpoint.h"
#include "model/config.h"

namespace quern {

// One builder for each layout of checkpoints; see build_graph for the meaning and the errors.
// Without a checkpoint the tensors get their usual names, and nothing is looked up.

Graph build_gpt2(const ModelConfig& config, const Checkpoint* checkpoint, DType dtype);
/// LLaMA's layout, which Qwen2 and Qwen3 share; the config says which biases and norms there are.
Graph build_llama(const ModelConfig& config, const Checkpoint* checkpoint, DType dtype);
/// Qwen's first generation.
Graph build_qwen(const ModelConfig& config, const Checkpoint* checkpoint, DType dtype);

}  // namespace quern
