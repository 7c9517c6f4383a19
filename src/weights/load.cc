#include "weights/load.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/check.h"
#include "base/memory/shape.h"
#include "quern/safetensors.h"
#include "quern/text.h"
#include "weights/convert.h"
#include "weights/quant/join.h"
#include "weights/quant/quantize.h"
#include "weights/tensor_numbers.h"

namespace quern {
namespace {

/// A tensor of the spec as found in the checkpoint, checked.
struct Source {
  const CheckpointTensor* tensor = nullptr;
  DType dtype = DType::float32;  ///< of the numbers as they are converted
  bool is_float64 = false;       ///< stored so; narrowed to float32 first
  /// All of them, where they are not read block by block: of a tensor that is transposed, or has
  /// gaps, which would be read in bits and pieces otherwise.
  std::optional<TensorNumbers> shared;
  std::vector<std::byte> gathered;
  std::int64_t numel = 0;
  std::atomic<std::int64_t> num_nonfinite = 0;
  std::atomic<std::int64_t> num_overflowed = 0;
  std::optional<DequantizingReader> quantized;  ///< in place of all of the above but numel
};

void find_part(const Checkpoint& checkpoint, const WeightSpec& spec, const WeightPart& part,
               Source& source) {
  source.tensor = checkpoint.find(part.name);
  if (source.tensor == nullptr) {
    fail(ErrorCode::bad_file, "{}: no tensor {}, which {} needs", checkpoint.folder().string(),
         quoted_name(part.name), spec.name);
  }
  const CheckpointTensor& tensor = *source.tensor;
  if (tensor.shape != part.shape) {
    fail(ErrorCode::bad_file, "{}: tensor {}: expected shape {}, got {}", tensor.file_name(),
         quoted_name(part.name), shape_string(part.shape), shape_string(tensor.shape));
  }
  source.is_float64 = tensor.stored_type == "F64";
  const auto dtype =
      source.is_float64 ? DType::float32 : parse_safetensors_dtype(tensor.stored_type);
  if (dtype != DType::float32 && dtype != DType::float16 && dtype != DType::bfloat16) {
    fail(ErrorCode::bad_file, "{}: tensor {}: expected F32, F16, BF16 or F64, got {}",
         tensor.file_name(), quoted_name(part.name), tensor.stored_type);
  }
  source.dtype = *dtype;
  source.numel = checked_numel(tensor.shape).value();
}

/// A spec comes from model code, so an inconsistent one is a bug.
void check_spec(const WeightSpec& spec) {
  std::int64_t numel = 0;
  for (const WeightPart& part : spec.parts) {
    numel += checked_numel(part.shape).value();
    if (spec.use == WeightUse::vector) continue;
    QUERN_CHECK(part.shape.size() == 2, "{}: {}", spec.name, shape_string(part.shape));
    QUERN_CHECK(part.shape[part.transposed ? 0 : 1] == spec.in_features, "{}: {}", spec.name,
                shape_string(part.shape));
  }
  QUERN_CHECK(numel == checked_product(spec.out_features, spec.in_features), "{}: {} of {} x {}",
              spec.name, numel, spec.out_features, spec.in_features);
}

/// A contiguous range of a weight's elements in row-major order.
struct Elements {
  std::int64_t first = 0;
  std::int64_t count = 0;
};

/// Elements that are read and converted at a time, so that they stay in a core's cache.
constexpr std::int64_t kBlockElements = std::int64_t{1} << 17;

/// Puts `count` numbers of a dense tensor from element `first` on to `out` as source.dtype.
void read_numbers(Source& source, std::int64_t first, std::int64_t count, std::byte* out) {
  const std::size_t stored_bytes = source.is_float64 ? sizeof(double) : dtype_bytes(source.dtype);
  const auto begin = static_cast<std::uint64_t>(first) * stored_bytes;
  if (!source.is_float64) {
    source.tensor->read(begin, {out, static_cast<std::size_t>(count) * stored_bytes});
  } else {
    std::vector<double> wide(static_cast<std::size_t>(count));
    source.tensor->read(begin, std::as_writable_bytes(std::span(wide)));
    source.num_overflowed += narrow_doubles(wide, reinterpret_cast<float*>(out));
  }
  source.num_nonfinite += count_nonfinite({out, source.dtype}, count);
}

/// The same for all of a tensor with gaps.
void gather_numbers(Source& source) {
  source.gathered = source.tensor->read_all();
  if (source.is_float64) {
    std::vector<double> wide(static_cast<std::size_t>(source.numel));
    std::memcpy(wide.data(), source.gathered.data(), source.gathered.size());
    source.gathered.resize(wide.size() * sizeof(float));
    source.num_overflowed += narrow_doubles(wide, reinterpret_cast<float*>(source.gathered.data()));
  }
  source.num_nonfinite += count_nonfinite({source.gathered.data(), source.dtype}, source.numel);
}

/// All numbers of a part that is not read block by block; null of the others.
const std::byte* numbers_in_memory(Source& source) {
  if (!source.gathered.empty()) return source.gathered.data();
  if (!source.shared) return nullptr;
  return source.shared->get([&](std::int64_t first, std::int64_t count, std::byte* out) {
    read_numbers(source, first, count, out);
  });
}

/// Converts elements of a part that is stored as it is used. Returns how many overflowed.
std::int64_t read_rows(Source& source, Elements wanted, FloatDestination out) {
  const auto from_bytes = static_cast<std::int64_t>(dtype_bytes(source.dtype));
  if (const std::byte* values = numbers_in_memory(source)) {
    return convert_floats({values + wanted.first * from_bytes, source.dtype}, out, wanted.count);
  }
  std::int64_t overflowed = 0;
  const bool in_place = source.dtype == out.dtype;
  const std::int64_t block = std::min(kBlockElements, wanted.count);
  const auto staging = in_place ? nullptr
                                : std::make_unique_for_overwrite<std::byte[]>(
                                      static_cast<std::size_t>(block * from_bytes));
  for (std::int64_t done = 0; done < wanted.count; done += block) {
    const std::int64_t count = std::min(block, wanted.count - done);
    std::byte* to = out.data + done * static_cast<std::int64_t>(dtype_bytes(out.dtype));
    read_numbers(source, wanted.first + done, count, in_place ? to : staging.get());
    if (in_place) continue;
    overflowed += convert_floats({staging.get(), source.dtype}, {to, out.dtype}, count);
  }
  return overflowed;
}

/// Converts elements of the stacked parts, whole rows where a part is transposed. Returns how many
/// overflowed.
std::int64_t read_elements(const WeightSpec& spec, std::span<Source> sources, Elements wanted,
                           FloatDestination out) {
  std::int64_t overflowed = 0;
  std::int64_t part_begin = 0;
  for (std::size_t i = 0; i < sources.size(); ++i) {
    const WeightPart& part = spec.parts[i];
    Source& source = sources[i];
    const std::int64_t first = std::max(wanted.first - part_begin, std::int64_t{0});
    const std::int64_t end = std::min(wanted.first + wanted.count - part_begin, source.numel);
    part_begin += source.numel;
    if (first >= end) continue;
    if (source.quantized) {
      source.quantized->read(first / spec.in_features, (end - first) / spec.in_features, out.dtype,
                             out.data);
    } else if (part.transposed) {
      const std::int64_t rows = part.shape[0];
      overflowed += convert_transposed({numbers_in_memory(source), source.dtype}, out,
                                       {rows, part.shape[1], first / rows, (end - first) / rows});
    } else {
      overflowed += read_rows(source, {first, end - first}, out);
    }
    out.data += (end - first) * static_cast<std::int64_t>(dtype_bytes(out.dtype));
  }
  return overflowed;
}

void add_warnings(const Source& source, const WeightPart& part, NumberWarnings& warnings) {
  if (source.quantized) return;
  const std::string file = source.tensor->file_name();
  const std::string name = quoted_name(part.name);
  warnings.add_nonfinite(file, name, {source.num_nonfinite - source.num_overflowed, source.numel});
  warnings.add_beyond_float32(file, name, {source.num_overflowed, source.numel});
}

std::vector<const QuantizedTensor*> quantized_parts(const WeightSpec& spec) {
  std::vector<const QuantizedTensor*> parts;
  for (const WeightPart& part : spec.parts) {
    if (part.quantized) parts.push_back(part.quantized.get());
  }
  return parts;
}

/// Loads a weight all of whose parts are quantized.
Weight load_quantized(const WeightSpec& spec, const WeightFormat& format, NumberWarnings& warnings,
                      const WeightSink& sink) {
  const auto parts = quantized_parts(spec);
  QUERN_CHECK(parts.size() == spec.parts.size(), "{}: {} of {} parts are quantized", spec.name,
              parts.size(), spec.parts.size());
  const JoinedReader reader(parts, format);
  Weight weight = sink({spec.use, format, spec.shape(), reader.components()});
  warnings.add_nonfinite(parts.front()->values.file_name(), quoted_name(spec.name),
                         {reader.num_nan(), spec.out_features * spec.in_features});
  return weight;
}

/// Loads a weight of floats and quantizes it.
Weight quantize_weight(const Checkpoint& checkpoint, const WeightSpec& spec,
                       const WeightFormat& format, NumberWarnings& warnings,
                       const WeightSink& sink) {
  const WeightSink quantize = [&](const WeightSource& floats) {
    const QuantizingReader reader(floats.reader(WeightComponent::values), format, floats.shape,
                                  spec.name);
    return sink({floats.use, format, floats.shape, reader.components()});
  };
  return load_weight(checkpoint, spec, {.stored = DType::float32}, warnings, quantize);
}

}  // namespace

WeightFormat stored_format(WeightUse use, DType own, DType activation) {
  if (use == WeightUse::vector) return {};
  return {.stored = activation == DType::float32 ? own : activation};
}

WeightFormat stored_format(const WeightSpec& spec, const Checkpoint& checkpoint, DType activation) {
  const auto quantized = quantized_parts(spec);
  if (!quantized.empty()) {
    const auto joined =
        quantized.size() == spec.parts.size() ? joined_format(quantized) : std::nullopt;
    return joined.value_or(stored_format(spec.use, DType::float32, activation));
  }
  std::optional<DType> common;
  for (const WeightPart& part : spec.parts) {
    Source source;
    find_part(checkpoint, spec, part, source);
    const DType dtype = source.dtype;
    // Mixed dtypes are kept in float32, which holds both 16-bit types exactly.
    common = !common || *common == dtype ? dtype : DType::float32;
  }
  return stored_format(spec.use, common.value_or(DType::float32), activation);
}

Weight load_weight(const Checkpoint& checkpoint, const WeightSpec& spec, const WeightFormat& format,
                   NumberWarnings& warnings, const WeightSink& sink) {
  check_spec(spec);
  check_format(format, spec.use);
  if (format.is_quantized()) {
    if (!quantized_parts(spec).empty()) return load_quantized(spec, format, warnings, sink);
    return quantize_weight(checkpoint, spec, format, warnings, sink);
  }
  std::vector<Source> sources(spec.parts.size());
  for (std::size_t i = 0; i < sources.size(); ++i) {
    const WeightPart& part = spec.parts[i];
    Source& source = sources[i];
    if (part.quantized) {
      source.quantized.emplace(*part.quantized);
      source.numel = checked_numel(part.shape).value();
      continue;
    }
    find_part(checkpoint, spec, part, source);
    if (!source.tensor->is_dense()) {
      gather_numbers(source);
    } else if (part.transposed) {
      source.shared.emplace(source.numel, dtype_bytes(source.dtype), kBlockElements);
    }
  }

  std::atomic<std::int64_t> overflowed = 0;
  const RowReader read_values = [&](std::int64_t first_row, std::int64_t num_rows, std::byte* out) {
    const Elements wanted{first_row * spec.in_features, num_rows * spec.in_features};
    overflowed += read_elements(spec, sources, wanted, {out, format.stored});
  };
  const Weight weight = sink({
      .use = spec.use,
      .format = format,
      .shape = spec.shape(),
      .components = {{WeightComponent::values, read_values}},
  });
  for (std::size_t i = 0; i < sources.size(); ++i) {
    add_warnings(sources[i], spec.parts[i], warnings);
  }
  warnings.add_overflow(spec.name, format_name(format),
                        {overflowed, spec.out_features * spec.in_features});
  return weight;
}

}  // namespace quern
