#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/checkpoint.h"
#include "weights/format.h"
#include "weights/quant/config.h"

namespace quern {

/// A quantized matrix of a checkpoint: its tensors, whose dtypes and shapes have been checked, and
/// the format in which they are read. Stored inputs are in the order of their groups.
struct QuantizedTensor {
  std::string module;  ///< "model.layers.0.mlp.down_proj"
  QuantScheme scheme;
  WeightFormat format;
  WeightShape shape;
  CheckpointTensor values;
  CheckpointTensor scales;
  std::string scales_name;
  std::optional<CheckpointTensor> zero_points;  ///< unset where format is symmetric
  /// Stored input i is input input_permutation[i]; empty: the inputs are in order.
  std::vector<std::int32_t> input_permutation;
  /// The checkpoint's group of each input, where groups are of different sizes: the format then has
  /// a scale for each input. Else empty.
  std::vector<std::int32_t> input_groups;
  std::int64_t num_groups = 1;  ///< in the checkpoint
  /// Zero points of GPTQ's first format that are stored as the largest number, which is one less
  /// than 0: programs read them differently.
  std::int64_t num_wrapped_zero_points = 0;
};

/// Whether the checkpoint has a quantized `module`: any of its packed tensors, or a weight of int8
/// or float8.
bool is_stored_quantized(const Checkpoint& checkpoint, std::string_view module);

/// The names of tensors that may belong to a quantized module.
std::vector<std::string> quantized_tensor_names(std::string_view module);

/// The tensors of a quantized module. Reads what decides on the format: g_idx and zero points.
/// Errors: bad_file naming file, tensor, expected and actual for missing tensors, other dtypes and
/// shapes than those of the scheme, groups out of range; unsupported for float8 of another kind.
std::shared_ptr<const QuantizedTensor> find_quantized(const Checkpoint& checkpoint,
                                                      const std::string& module,
                                                      const QuantScheme& scheme,
                                                      const WeightShape& shape);

}  // namespace quern
