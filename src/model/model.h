#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "graph/graph.h"
#include "io/checkpoint.h"
#include "model/config/config.h"

namespace quern {

/// Builds the graph of a model: embed, layers of five nodes, lm_head. Sample and Advance are the
/// runtime's to append. `dtype` is the activation dtype. Tensor names are chosen by what the
/// checkpoint has (GPT-2's optional `transformer.` prefix), and every tensor that the architecture
/// needs must be there, of the right shape, once; known buffers are ignored; any other tensor left
/// over is an error that names it. Errors: unsupported for an unknown architecture; bad_file naming
/// file, tensor, expected and actual.
Graph build_graph(const ModelConfig& config, const Checkpoint& checkpoint, DType dtype);

/// The same graph for a model whose weights come from no file.
Graph build_graph(const ModelConfig& config, DType dtype);

/// The model types that this build knows, for error messages and `inspect`.
std::vector<std::string_view> known_model_types();

}  // namespace quern
