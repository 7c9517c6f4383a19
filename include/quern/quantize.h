#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "quern/export.h"

namespace quern {

/// How quantize() stores the matrices of a model's layers; embeddings, norms, biases and lm_head
/// keep their dtype.
enum class QuantizeFormat : std::uint8_t {
  int8,  ///< 8-bit integers, `pack-quantized`
  int4,  ///< 4-bit integers, `pack-quantized`
  fp8,   ///< E4M3, a scale for each row, `float-quantized`; inputs are to be rounded to it, too
  w8a8,  ///< 8-bit integers, a scale for each row, `int-quantized`; inputs are to be rounded, too
};

/// "int8", "int4", "fp8", "w8a8".
QUERN_API const char* quantize_format_name(QuantizeFormat format);

struct QuantizeProgress {
  std::size_t done_matrices = 0;
  std::size_t total_matrices = 0;
};

struct QuantizeOptions {
  QuantizeFormat format = QuantizeFormat::int4;
  /// Inputs that share a scale, of int8 and int4; 0: all inputs of a row. It must divide the inputs
  /// of every matrix. Unset: 128, 64 or 32, the largest that does.
  std::optional<int> group_size = std::nullopt;
  /// Modules that stay floats, with their inputs as they are: names
  /// ("model.layers.0.mlp.down_proj"), their last components ("mlp.down_proj"), or "re:" and a
  /// regular expression that matches from the name's start. Matrices that are multiplied as one (q,
  /// k and v; gate and up) go together.
  std::vector<std::string> ignore = {};
  /// Token ids of texts like those that the model is for, at most its context each. With them
  /// scales are searched and roundings fed back so that each matrix's outputs come near those of
  /// the original model; see docs/quantization.md. Empty: numbers are rounded to nearest.
  std::vector<std::vector<std::int32_t>> calibration = {};
  /// SmoothQuant's migration strength, of w8a8 with calibration: 0.5 shares the difficulty between
  /// inputs and weights. In (0, 1). Unset: no smoothing.
  std::optional<float> smooth = std::nullopt;
  int threads = 0;  ///< CPU threads; 0: all CPUs that the process may use
  /// Called before the first matrix and after each. An exception that it throws ends the work.
  std::function<void(const QuantizeProgress&)> on_progress = {};
};

/// What quantize() has written.
struct QuantizedFolder {
  std::filesystem::path folder;
  int group_size = 0;                             ///< 0: a scale for each row
  std::size_t num_matrices = 0;                   ///< that are quantized
  std::vector<std::string> ignored_modules = {};  ///< those that `ignore` names
  std::size_t num_calibration_tokens = 0;
  std::uint64_t source_bytes = 0;     ///< of all tensors
  std::uint64_t quantized_bytes = 0;  ///< the same, as written
};

/// The fewest tokens of calibration that are taken.
inline constexpr std::size_t kMinCalibrationTokens = 512;

/// Quantizes the matrices of the layers of a float model on the CPU and writes a folder in
/// compressed-tensors' layout: config.json with quantization_config, safetensors in shards like the
/// source's, and copies of the other files. `folder` must be new or empty; it is written whole or
/// not at all. The bytes depend on model, options and instruction set alone, not on the number of
/// threads.
/// Cost: without calibration a matrix in memory at a time; with it the model, one matrix twice in
/// float32 with its squared inputs, and the activations of the calibration tokens between two
/// nodes, of the original and of the quantized model.
/// Errors: those of opening a model; unsupported for one that is quantized already and for numbers
/// that are not finite; invalid_argument naming the option for a group size that does not divide a
/// matrix's inputs, too few or impossible calibration tokens and options that do not go together,
/// and entries of `ignore` that match no module, a part of what is multiplied as one, or
/// everything; bad_file for a folder that cannot be written.
QUERN_API QuantizedFolder quantize(const std::string& model, const std::filesystem::path& folder,
                                   const QuantizeOptions& options);

}  // namespace quern
