#include "backend/backend.h"

#include "base/check.h"
#include "weights/quant/quantize.h"

namespace quern {

void Backend::fill_random_quantized(const RandomRun& run, const Weight& weight,
                                    std::string_view name) {
  QUERN_CHECK(run.first == 0 && run.stride == 1, "{}: from element {}, every {}", name, run.first,
              run.stride);
  const RowReader floats = [&](std::int64_t first_row, std::int64_t num_rows, std::byte* out) {
    RandomRun rows = run.part(first_row * weight.in_features, num_rows * weight.in_features);
    rows.first = 0;
    quern::fill_random(rows, DType::float32, out);
  };
  const QuantizingReader reader(floats, weight.format, weight.shape(), name);
  upload({WeightUse::matrix, weight.format, weight.shape(), reader.components()}, weight.layout,
         weight.values.data);
}

}  // namespace quern
