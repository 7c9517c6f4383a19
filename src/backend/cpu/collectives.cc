#include <cstring>

#include "backend/cpu/ops.h"
#include "backend/cpu/views.h"
#include "base/check.h"

namespace quern::cpu {

void run_copy(ValueId in, ValueId out, const Step& step) {
  const Tensor& source = step.value(in);
  const Tensor& destination = step.value(out);
  QUERN_CHECK(source.cols == destination.cols && source.dtype == destination.dtype);
  const std::size_t row_bytes = static_cast<std::size_t>(source.cols) * dtype_bytes(source.dtype);
  for (std::int64_t row = 0; row < source.rows; ++row) {
    std::memcpy(element(destination, row, 0), element(source, row, 0), row_bytes);
  }
}

}  // namespace quern::cpu
