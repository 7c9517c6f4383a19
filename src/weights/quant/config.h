#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/json/json.h"
#include "weights/format.h"
#include "weights/quant/module_pattern.h"

namespace quern {

/// How a checkpoint stores the tensors of a quantized matrix; see docs/quantization.md.
enum class QuantLayout : std::uint8_t {
  gptq,         ///< qweight packed along the inputs, [in · bits / 32, out]; qzeros, scales, g_idx
  awq,          ///< qweight packed along the outputs, [in, out / 8], in AWQ's order
  packed_rows,  ///< compressed-tensors' weight_packed, [out, in · bits / 32]
  elements,     ///< weight [out, in] of int8 or float8_e4m3
};

/// What a quantization config says about one module.
struct QuantScheme {
  QuantLayout layout = QuantLayout::gptq;
  int bits = 0;
  bool is_float = false;         ///< float8_e4m3 elements, otherwise integers
  std::int64_t group_size = 0;   ///< inputs of one scale; 0: all
  std::int64_t group_rows = 1;   ///< rows of one scale; 0: all
  bool is_symmetric = true;      ///< of compressed-tensors; others always store zero points
  bool zeros_minus_one = false;  ///< GPTQ's first format stores a zero point minus one
  std::string_view scale = "";   ///< "weight_scale" or "weight_scale_inv", of `elements`
  /// What the model was made to round inputs to; nothing where this is not supported.
  std::optional<ActivationFormat> inputs = ActivationFormat{};
};

/// A model's quantization_config.
class QuantizationConfig {
 public:
  /// The methods: gptq (also as a quantize_config.json), awq, compressed-tensors and fp8. Errors:
  /// unsupported, naming a method, format, version or number of bits that is not supported and
  /// those that are; bad_file naming file, key, expected and actual.
  static QuantizationConfig parse(const JsonObject& object);

  /// The scheme of a module; nothing for one that the config leaves in float. A checkpoint may
  /// have a module in float all the same. Errors: those of ModulePattern::matches.
  std::optional<QuantScheme> scheme(std::string_view module) const;

  /// Whether the checkpoint must have quantized tensors: not where only a file beside config.json
  /// says so, which Hugging Face does not read.
  bool is_required() const { return is_required_; }
  void make_optional() { is_required_ = false; }

  const std::string& method() const { return method_; }
  /// The file that has it.
  const std::string& where() const { return where_; }

 private:
  struct Rule {
    ModulePattern pattern;
    std::optional<QuantScheme> scheme;
  };

  void read_gptq(const JsonObject& object);
  void read_dynamic(const JsonObject& object, const QuantScheme& base);
  void read_awq(const JsonObject& object);
  void read_fp8(const JsonObject& object);
  void read_compressed_tensors(const JsonObject& object);
  void read_group(const JsonObject& group, const std::string& format);
  void exclude(const JsonObject& object, std::string_view key);

  std::string method_;
  std::string where_;
  bool is_required_ = true;
  std::vector<ModulePattern> excluded_;
  std::vector<Rule> rules_;  ///< the first one with the most specific match counts
};

}  // namespace quern
