#include "weights/load.h"

#include <optional>
#include <vector>

#include "base/check.h"
#include "base/log.h"
#include "base/shape.h"
#include "io/json.h"
#include "weights/convert.h"

namespace quern {
namespace {

/// A part as the checkpoint has it, checked.
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

/// A spec comes from a model's description, so one that does not add up is a bug.
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

}  // namespace

DType stored_dtype(WeightUse use, DType own, DType activation) {
  if (use == WeightUse::vector) return DType::float32;
  return activation == DType::float32 ? own : activation;
}

DType stored_dtype(const WeightSpec& spec, const Checkpoint& checkpoint, DType activation) {
  std::optional<DType> common;
  for (const WeightPart& part : spec.parts) {
    const DType dtype = find_part(checkpoint, spec, part).floats.dtype;
    // Parts that differ meet in the type that holds all of them.
    common = !common || *common == dtype ? dtype : DType::float32;
  }
  return stored_dtype(spec.use, common.value_or(DType::float32), activation);
}

Weight load_weight(const Checkpoint& checkpoint, const WeightSpec& spec, DType stored,
                   std::byte* destination) {
  check_spec(spec);
  std::vector<Source> sources;
  for (const WeightPart& part : spec.parts) sources.push_back(find_part(checkpoint, spec, part));

  std::int64_t overflowed = 0;
  FloatDestination band{destination, stored};
  for (std::size_t i = 0; i < sources.size(); ++i) {
    const Source& source = sources[i];
    const WeightPart& part = spec.parts[i];
    overflowed += part.transposed
                      ? convert_transposed(source.floats, band, part.shape[0], part.shape[1])
                      : convert_floats(source.floats, band, source.numel);
    band.data += source.numel * dtype_bytes(stored);
    checkpoint.release(source.tensor);
  }
  if (overflowed > 0) {
    log(LogLevel::warning, "{}: {} of {} numbers are too large for {} and become infinite",
        spec.name, overflowed, spec.out_features * spec.in_features, dtype_name(stored));
  }
  return {
      .values = {.data = destination,
                 .rows = spec.out_features,
                 .cols = spec.in_features,
                 .row_stride = spec.in_features,
                 .dtype = stored,
                 .device = {}},
      .format = {.stored = stored},
      .out_features = spec.out_features,
      .in_features = spec.in_features,
  };
}

}  // namespace quern
