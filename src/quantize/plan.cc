#include "quantize/plan.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <variant>

#include "base/check.h"
#include "base/error.h"
#include "base/half.h"
#include "base/memory/shape.h"
#include "quern/safetensors.h"
#include "quern/text.h"
#include "weights/quant/module_pattern.h"

namespace quern {
namespace {

/// Those of all projections but the last, which is the lm_head.
std::vector<WeightId> layer_matrices_of(const Graph& graph) {
  std::vector<WeightId> found;
  for (const Node& node : graph.nodes) {
    if (const auto* linear = std::get_if<Linear>(&node.op)) found.push_back(linear->weight);
    if (const auto* linear = std::get_if<NormLinear>(&node.op)) found.push_back(linear->weight);
  }
  QUERN_CHECK(!found.empty());
  found.pop_back();
  return found;
}

/// Rows and inputs of a part as it is quantized, also where it is stored transposed.
WeightShape part_shape(const WeightPart& part) {
  if (part.transposed) return {part.shape[1], part.shape[0]};
  return {part.shape[0], part.shape[1]};
}

/// Errors: invalid_argument.
ModulePattern ignored_pattern(const std::string& entry) {
  if (!entry.starts_with("re:")) return ModulePattern::excluded(entry);
  try {
    return ModulePattern::target(entry, "ignore");
  } catch (const Error& error) {  // of a checkpoint it would be unsupported
    throw Error(ErrorCode::invalid_argument, error.what());
  }
}

/// Takes the matrices of ignored modules out of the plan.
void ignore_modules(const Graph& graph, const std::vector<std::string>& entries,
                    QuantizePlan& plan) {
  std::vector<ModulePattern> patterns;
  patterns.reserve(entries.size());
  for (const std::string& entry : entries) {
    patterns.push_back(ignored_pattern(entry));
  }
  std::vector<bool> is_used(entries.size());
  const auto is_ignored = [&](const WeightPart& part) {
    bool found = false;
    for (std::size_t i = 0; i < patterns.size(); ++i) {
      if (!patterns[i].matches(module_of(part))) continue;
      found = is_used[i] = true;
    }
    return found;
  };
  std::erase_if(plan.matrices, [&](WeightId id) {
    const std::vector<WeightPart>& parts = graph.weight(id).parts;
    const bool first = is_ignored(parts.front());
    const auto other =
        std::ranges::find_if(parts, [&](const auto& part) { return is_ignored(part) != first; });
    if (other != parts.end()) {
      fail(ErrorCode::invalid_argument,
           "ignore: expected all or none of what is multiplied as one, got {} without {}",
           module_of(first ? parts.front() : *other), module_of(first ? *other : parts.front()));
    }
    if (!first) return false;
    for (const WeightPart& part : parts) plan.ignored_modules.push_back(module_of(part));
    return true;
  });
  const auto unused = std::ranges::find(is_used, false);
  if (unused != is_used.end()) {
    fail(ErrorCode::invalid_argument,
         "ignore: expected modules of the layers, such as {}, got {}, which matches none",
         module_of(graph.weight(layer_matrices_of(graph).front()).parts.front()),
         quoted_name(entries[static_cast<std::size_t>(unused - is_used.begin())]));
  }
  if (plan.matrices.empty()) {
    fail(ErrorCode::invalid_argument,
         "ignore: expected a module that is left to quantize, got all");
  }
}

bool divides_all(std::int64_t group_size, const Graph& graph, std::span<const WeightId> matrices) {
  return std::ranges::all_of(
      matrices, [&](WeightId id) { return graph.weight(id).in_features % group_size == 0; });
}

std::int64_t chosen_group_size(const QuantizeOptions& options, const Graph& graph,
                               std::span<const WeightId> matrices) {
  constexpr std::array<std::int64_t, 3> kSizes = {128, 64, 32};
  const bool has_groups =
      options.format == QuantizeFormat::int4 || options.format == QuantizeFormat::int8;
  if (!has_groups) {
    if (options.group_size.value_or(0) == 0) return 0;
    fail(ErrorCode::invalid_argument, "group_size {}: expected int4 or int8, got {}",
         *options.group_size, quantize_format_name(options.format));
  }
  if (!options.group_size) {
    for (const std::int64_t size : kSizes) {
      if (divides_all(size, graph, matrices)) return size;
    }
  } else if (*options.group_size == 0) {
    return 0;
  } else if (*options.group_size < 0) {
    fail(ErrorCode::invalid_argument, "group_size {}: expected a number of at least 0",
         *options.group_size);
  } else if (divides_all(*options.group_size, graph, matrices)) {
    return *options.group_size;
  }
  const std::int64_t size = options.group_size.value_or(kSizes.back());
  for (const WeightId id : matrices) {
    const WeightSpec& spec = graph.weight(id);
    if (spec.in_features % size == 0) continue;
    fail(ErrorCode::invalid_argument,
         "group_size {}: expected a divisor of the inputs of every matrix (0: all of them), got {} "
         "inputs of {}",
         options.group_size ? std::to_string(size) : "128, 64 or 32", spec.in_features, spec.name);
  }
  return 0;  // no matrix
}

}  // namespace

const char* quantize_format_name(QuantizeFormat format) {
  switch (format) {
    case QuantizeFormat::int8:
      return "int8";
    case QuantizeFormat::int4:
      return "int4";
    case QuantizeFormat::fp8:
      return "fp8";
    case QuantizeFormat::w8a8:
      return "w8a8";
  }
  return "unknown";
}

QuantizePlan plan_quantization(const OpenedModel& model, const QuantizeOptions& options) {
  if (model.config.quantization) {
    fail(ErrorCode::unsupported,
         "{}: expected a model of floats to quantize, got one that is quantized by {}",
         model.config.quantization->where(), model.config.quantization->method());
  }
  if (options.smooth) {
    if (options.format != QuantizeFormat::w8a8) {
      fail(ErrorCode::invalid_argument, "smooth: expected w8a8, whose inputs are rounded, got {}",
           quantize_format_name(options.format));
    }
    if (options.calibration.empty()) {
      fail(ErrorCode::invalid_argument, "smooth: expected calibration texts, got none");
    }
    if (!(*options.smooth > 0.0f && *options.smooth < 1.0f)) {
      fail(ErrorCode::invalid_argument, "smooth {}: expected a number in (0, 1)", *options.smooth);
    }
  }
  QuantizePlan plan;
  plan.format = options.format;
  plan.grid = grid_of(options.format);
  plan.matrices = layer_matrices_of(model.graph);
  ignore_modules(model.graph, options.ignore, plan);
  plan.group_size = chosen_group_size(options, model.graph, plan.matrices);
  return plan;
}

DType scale_dtype_of(const Checkpoint& checkpoint, const WeightSpec& spec) {
  std::optional<DType> common;
  for (const WeightPart& part : spec.parts) {
    const CheckpointTensor* tensor = checkpoint.find(part.name);
    QUERN_CHECK(tensor != nullptr, "{}", part.name);
    const DType dtype = parse_safetensors_dtype(tensor->stored_type).value_or(DType::float32);
    common = !common || *common == dtype ? dtype : DType::float32;
  }
  return common.value_or(DType::float32);
}

std::string module_of(const WeightPart& part) {
  constexpr std::string_view kEnding = ".weight";
  QUERN_CHECK(part.name.ends_with(kEnding), "matrix '{}'", part.name);
  return part.name.substr(0, part.name.size() - kEnding.size());
}

std::vector<StoredTensor> quantized_tensors(const QuantizePlan& plan, const WeightPart& part,
                                            DType scale_dtype) {
  const std::string module = module_of(part);
  const WeightShape shape = part_shape(part);
  const std::int64_t groups = plan.group_size == 0 ? 1 : shape.in_features / plan.group_size;
  const StoredTensor scales = {module + ".weight_scale",
                               scale_dtype == DType::float16    ? "F16"
                               : scale_dtype == DType::bfloat16 ? "BF16"
                                                                : "F32",
                               {shape.out_features, groups}};
  if (!plan.is_packed()) {
    return {{module + ".weight",
             plan.grid.is_float ? "F8_E4M3" : "I8",
             {shape.out_features, shape.in_features}},
            scales};
  }
  const std::int64_t in_word = 32 / plan.grid.bits;
  return {{module + ".weight_packed",
           "I32",
           {shape.out_features, ceil_div(shape.in_features, in_word)}},
          scales,
          {module + ".weight_shape", "I64", {2}}};
}

std::vector<std::vector<std::byte>> tensor_bytes(const QuantizePlan& plan, const WeightPart& part,
                                                 DType scale_dtype, const QuantizedRows& matrix,
                                                 std::int64_t first_row) {
  const WeightShape shape = part_shape(part);
  const auto rows = static_cast<std::size_t>(shape.out_features);
  const auto inputs = static_cast<std::size_t>(shape.in_features);
  const std::uint8_t* bytes = matrix.bytes.data() + static_cast<std::size_t>(first_row) * inputs;
  std::vector<std::vector<std::byte>> tensors(2);
  const auto groups = static_cast<std::size_t>(matrix.num_groups());
  tensors[1].resize(rows * groups * dtype_bytes(scale_dtype));
  store_floats(
      scale_dtype,
      std::span(matrix.scales).subspan(static_cast<std::size_t>(first_row) * groups, rows * groups),
      tensors[1].data());
  if (!plan.is_packed()) {
    tensors[0].resize(rows * inputs);
    std::memcpy(tensors[0].data(), bytes, rows * inputs);
    return tensors;
  }
  // Unsigned numbers, the first input in the lowest bits of a word.
  const auto bits = static_cast<unsigned>(plan.grid.bits);
  const std::size_t in_word = 32 / bits;
  const std::size_t words = ceil_div(inputs, in_word);
  const unsigned offset = 1u << (bits - 1);
  const unsigned mask = (1u << bits) - 1;
  tensors[0].resize(rows * words * sizeof(std::uint32_t));
  for (std::size_t row = 0; row < rows; ++row) {
    for (std::size_t word = 0; word < words; ++word) {
      std::uint32_t packed = 0;
      for (std::size_t i = 0; i < std::min(in_word, inputs - word * in_word); ++i) {
        const unsigned number = (bytes[row * inputs + word * in_word + i] + offset) & mask;
        packed |= number << (bits * i);
      }
      std::memcpy(tensors[0].data() + (row * words + word) * sizeof(packed), &packed,
                  sizeof(packed));
    }
  }
  const std::array<std::int64_t, 2> sizes = {shape.out_features, shape.in_features};
  tensors.emplace_back(sizeof(sizes));
  std::memcpy(tensors[2].data(), sizes.data(), sizeof(sizes));
  return tensors;
}

nlohmann::ordered_json quantization_config(const QuantizePlan& plan) {
  using Ordered = nlohmann::ordered_json;
  const auto arguments = [&](const char* strategy, bool dynamic) {
    const bool has_groups = plan.group_size != 0 && !dynamic;
    return Ordered{{"num_bits", plan.grid.bits},
                   {"type", plan.grid.is_float ? "float" : "int"},
                   {"symmetric", true},
                   {"group_size", has_groups ? Ordered(plan.group_size) : Ordered(nullptr)},
                   {"strategy", strategy},
                   {"block_structure", nullptr},
                   {"dynamic", dynamic},
                   {"actorder", nullptr},
                   {"observer", dynamic ? Ordered(nullptr) : Ordered("minmax")},
                   {"observer_kwargs", Ordered::object()}};
  };
  const char* layout = plan.is_packed()     ? "pack-quantized"
                       : plan.grid.is_float ? "float-quantized"
                                            : "int-quantized";
  const Ordered inputs = plan.is_packed() ? Ordered(nullptr) : arguments("token", true);
  const Ordered group = {{"targets", {"Linear"}},
                         {"weights", arguments(plan.group_size == 0 ? "channel" : "group", false)},
                         {"input_activations", inputs},
                         {"output_activations", nullptr},
                         {"format", layout}};
  Ordered ignored = plan.ignored_modules;
  ignored.push_back("lm_head");
  return {{"quant_method", "compressed-tensors"}, {"format", layout},
          {"quantization_status", "compressed"},  {"global_compression_ratio", nullptr},
          {"kv_cache_scheme", nullptr},           {"ignore", ignored},
          {"config_groups", {{"group_0", group}}}};
}

}  // namespace quern
