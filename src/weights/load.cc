#include "weights/load.h"

#include <algorithm>
#include <atomic>
#include <optional>
#include <vector>

#include "base/check.h"
#include "base/log.h"
#include "base/memory/shape.h"
#include "io/json.h"
#include "weights/convert.h"

namespace quern {
namespace {

/// A tensor of the spec as found in the checkpoint, checked.
struct Source {
  Checkpoint::TensorRef tensor;
  FloatSource floats;
  std::int64_t numel = 0;
};

Source find_part(const Checkpoint& checkpoint, const WeightSpec& spec, const WeightPart& part) {
  const auto tensor = checkpoint.find(part.name);
  if (tensor.entry == nullptr) {
    fail(ErrorCode::bad_file, "{}: no tensor {}, which {} needs", checkpoint.folder().string(),
         quoted_name(part.name), spec.name);
  }
  const SafetensorsEntry& entry = *tensor.entry;
  const std::string file = tensor.file->path().string();
  if (entry.shape != part.shape) {
    fail(ErrorCode::bad_file, "{}: tensor {}: expected shape {}, got {}", file,
         quoted_name(part.name), shape_string(part.shape), shape_string(entry.shape));
  }
  const auto dtype = parse_safetensors_dtype(entry.stored_type);
  if (dtype != DType::float32 && dtype != DType::float16 && dtype != DType::bfloat16) {
    fail(ErrorCode::bad_file, "{}: tensor {}: expected F32, F16 or BF16, got {}", file,
         quoted_name(part.name), entry.stored_type);
  }
  return {tensor, {entry.data.data(), *dtype}, checked_numel(entry.shape).value()};
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

/// Converts a range of the stacked tensors' elements; whole rows where a tensor is transposed.
/// Returns the number of overflows.
std::int64_t read_elements(const WeightSpec& spec, const std::vector<Source>& sources,
                           Elements wanted, FloatDestination out) {
  std::int64_t overflowed = 0;
  std::int64_t part_begin = 0;
  for (std::size_t i = 0; i < sources.size(); ++i) {
    const WeightPart& part = spec.parts[i];
    const Source& source = sources[i];
    const std::int64_t first = std::max(wanted.first - part_begin, std::int64_t{0});
    const std::int64_t end = std::min(wanted.first + wanted.count - part_begin, source.numel);
    part_begin += source.numel;
    if (first >= end) continue;
    if (part.transposed) {
      const std::int64_t rows = part.shape[0];
      overflowed += convert_transposed(source.floats, out,
                                       {rows, part.shape[1], first / rows, (end - first) / rows});
    } else {
      FloatSource from = source.floats;
      from.data += first * static_cast<std::int64_t>(dtype_bytes(from.dtype));
      overflowed += convert_floats(from, out, end - first);
    }
    out.data += (end - first) * static_cast<std::int64_t>(dtype_bytes(out.dtype));
  }
  return overflowed;
}

}  // namespace

WeightFormat stored_format(WeightUse use, DType own, DType activation) {
  if (use == WeightUse::vector) return {};
  return {.stored = activation == DType::float32 ? own : activation};
}

WeightFormat stored_format(const WeightSpec& spec, const Checkpoint& checkpoint, DType activation) {
  std::optional<DType> common;
  for (const WeightPart& part : spec.parts) {
    const DType dtype = find_part(checkpoint, spec, part).floats.dtype;
    // Mixed dtypes are kept in float32, which holds both 16-bit types exactly.
    common = !common || *common == dtype ? dtype : DType::float32;
  }
  return stored_format(spec.use, common.value_or(DType::float32), activation);
}

Weight load_weight(const Checkpoint& checkpoint, const WeightSpec& spec, const WeightFormat& format,
                   const WeightSink& sink) {
  check_spec(spec);
  check_format(format, spec.use);
  std::vector<Source> sources;
  for (const WeightPart& part : spec.parts) sources.push_back(find_part(checkpoint, spec, part));

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
  for (const Source& source : sources) checkpoint.release(source.tensor);
  if (overflowed > 0) {
    log(LogLevel::warning, "{}: {} of {} numbers are too large for {} and become infinite",
        spec.name, overflowed.load(), spec.out_features * spec.in_features, format_name(format));
  }
  return weight;
}

}  // namespace quern
