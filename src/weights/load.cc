#include "weights/load.h"

#include "base/check.h"
#include "base/log.h"
#include "base/shape.h"
#include "io/json.h"
#include "weights/convert.h"

namespace quern {
namespace {

bool is_float(DType dtype) {
  return dtype == DType::float32 || dtype == DType::float16 || dtype == DType::bfloat16;
}

/// A tensor that is there and holds numbers of a kind a weight can have.
Checkpoint::TensorRef require_floats(const Checkpoint& checkpoint, const WeightSpec& spec,
                                     const WeightPart& part) {
  const auto tensor = checkpoint.find(part.name);
  if (tensor.entry == nullptr) {
    fail(ErrorCode::bad_file, "{}: no tensor {}, which {} needs", checkpoint.folder().string(),
         quoted_name(part.name), spec.name);
  }
  if (!is_float(safetensors_dtype(*tensor.entry, tensor.file->path()))) {
    fail(ErrorCode::bad_file, "{}: tensor {}: expected F32, F16 or BF16, got {}",
         tensor.file->path().string(), quoted_name(part.name), tensor.entry->stored_type);
  }
  return tensor;
}

DType tensor_dtype(const Checkpoint::TensorRef& tensor) {
  return safetensors_dtype(*tensor.entry, tensor.file->path());
}

void check_part(const Checkpoint& checkpoint, const WeightSpec& spec, const WeightPart& part) {
  const auto tensor = require_floats(checkpoint, spec, part);
  if (tensor.entry->shape != part.shape) {
    fail(ErrorCode::bad_file, "{}: tensor {}: expected shape {}, got {}",
         tensor.file->path().string(), quoted_name(part.name), shape_string(part.shape),
         shape_string(tensor.entry->shape));
  }
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

DType stored_dtype(const WeightSpec& spec, const Checkpoint& checkpoint, DType activation) {
  if (spec.use == WeightUse::vector) return DType::float32;
  if (activation != DType::float32) return activation;
  std::optional<DType> common;
  for (const WeightPart& part : spec.parts) {
    const DType dtype = tensor_dtype(require_floats(checkpoint, spec, part));
    // Parts that differ meet in the type that holds all of them.
    common = !common || *common == dtype ? dtype : DType::float32;
  }
  return common.value_or(DType::float32);
}

Weight load_weight(const Checkpoint& checkpoint, const WeightSpec& spec, DType stored,
                   std::byte* destination) {
  for (const WeightPart& part : spec.parts) check_part(checkpoint, spec, part);
  check_spec(spec);

  std::int64_t overflowed = 0;
  std::byte* band = destination;
  for (const WeightPart& part : spec.parts) {
    const auto tensor = checkpoint.find(part.name);
    const FloatSource from{tensor.entry->data.data(), tensor_dtype(tensor)};
    const FloatDestination to{band, stored};
    const std::int64_t numel = checked_numel(part.shape).value();
    overflowed += part.transposed ? convert_transposed(from, to, part.shape[0], part.shape[1])
                                  : convert_floats(from, to, numel);
    band += numel * dtype_bytes(stored);
    checkpoint.release(tensor);
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
