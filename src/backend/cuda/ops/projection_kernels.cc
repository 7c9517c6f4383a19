#include "backend/cuda/ops/projection_kernels.h"

#include <string>

#include "backend/cuda/ops/rounded_projection.h"
#include "base/error.h"

namespace quern::cuda {
namespace {

/// "float16, float32": the distinct weight types of the matching table rows.
template <typename Wanted>
std::string stored_types(const Wanted& wanted) {
  std::string names;
  for (const StoredType& type : kStoredTypes) {
    for (const ProjectionKernelRow& row : kProjectionKernels) {
      if (row.stored != type.dtype || !wanted(row)) continue;
      names += names.empty() ? "" : ", ";
      names += dtype_name(type.dtype);
      break;
    }
  }
  return names;
}

}  // namespace

void refuse_projection(const ProjectionCase& projection) {
  const std::string expected = stored_types([&](const ProjectionKernelRow& row) {
    return row.activation == projection.activation && row.layout == projection.layout;
  });
  fail(ErrorCode::unsupported,
       "{} rows of {} by a weight of {}: for such rows expected a weight of {} on CUDA",
       projection.num_rows, dtype_name(projection.activation), dtype_name(projection.stored),
       expected.empty() ? "nothing" : expected);
}

WeightLayout projection_layout(const WeightFormat& format) {
  const bool is_tiled = format.is_quantized() && fits_tiles(format) && !multiplies_int8(format);
  const WeightLayout layout = is_tiled ? WeightLayout::tiles : WeightLayout::row_major;
  for (const ProjectionKernelRow& row : kProjectionKernels) {
    if (row.stored == format.stored && row.layout == layout) return layout;
  }
  fail(ErrorCode::unsupported, "a weight of {}: expected {} on CUDA", format_name(format),
       stored_types([](const ProjectionKernelRow&) { return true; }));
}

}  // namespace quern::cuda
