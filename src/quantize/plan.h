#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "graph/graph.h"
#include "io/output/safetensors_header.h"
#include "quantize/rounding/grid.h"
#include "quern/quantize.h"
#include "runtime/load/opened_model.h"

namespace quern {

/// What is quantized, and how.
struct QuantizePlan {
  QuantizeFormat format = QuantizeFormat::int4;
  Grid grid;
  std::int64_t group_size = 0;                    ///< 0: all inputs of a row
  std::vector<WeightId> matrices;                 ///< of the layers, in the order of their nodes
  std::vector<std::string> ignored_modules = {};  ///< of the layers, in the same order

  std::int64_t group_size_of(const WeightSpec& spec) const {
    return group_size == 0 ? spec.in_features : group_size;
  }
  bool is_packed() const {
    return format == QuantizeFormat::int4 || format == QuantizeFormat::int8;
  }
};

/// Errors: invalid_argument for options that do not go together and a group size that does not
/// divide a matrix's inputs, naming the matrix; for entries of `ignore` as quantize().
QuantizePlan plan_quantization(const OpenedModel& model, const QuantizeOptions& options);

/// The dtype of the scales of a matrix: the checkpoint's own, float32 where parts differ.
DType scale_dtype_of(const Checkpoint& checkpoint, const WeightSpec& spec);

/// "model.layers.0.mlp.up_proj", of the part with that module's ".weight".
std::string module_of(const WeightPart& part);

/// The tensors in place of a part's own: values, then scales, and of packed values their shape.
std::vector<StoredTensor> quantized_tensors(const QuantizePlan& plan, const WeightPart& part,
                                            DType scale_dtype);

/// The bytes of these tensors, in this order. `first_row` is the part's in the joined matrix.
std::vector<std::vector<std::byte>> tensor_bytes(const QuantizePlan& plan, const WeightPart& part,
                                                 DType scale_dtype, const QuantizedRows& matrix,
                                                 std::int64_t first_row);

/// config.json's quantization_config. Source: compressed-tensors 0.20, QuantizationConfig.
nlohmann::ordered_json quantization_config(const QuantizePlan& plan);

}  // namespace quern
