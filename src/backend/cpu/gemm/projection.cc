#include "backend/cpu/gemm/projection.h"

#include <algorithm>

#include "backend/cpu/gemm/gemm.h"
#include "backend/cpu/ops/activation.h"
#include "backend/cpu/parallel.h"
#include "backend/cpu/views.h"
#include "base/check.h"
#include "base/half.h"

namespace quern::cpu {
namespace {

constexpr std::int64_t kMaxTileColumns = 120;
constexpr std::int64_t kRowBlock = 256;

/// Output columns of a tile: as many as let its widened weight rows stay in a core's L2 cache.
/// It depends on the weight alone, so results do not depend on batch or threads.
std::int64_t tile_columns(std::int64_t in_features) {
  constexpr std::int64_t kWidenedElements = 1 << 18;
  constexpr std::int64_t kGranule = 24;  // whole blocks of the vector kernels, however many rows
  const std::int64_t columns = kWidenedElements / in_features / kGranule * kGranule;
  return std::clamp(columns, kGranule, kMaxTileColumns);
}

void add_bias(const Weight* bias, std::int64_t first, std::span<float> values) {
  if (bias == nullptr) return;
  const float* source = bias->values.row<float>(0) + first;
  for (std::size_t i = 0; i < values.size(); ++i) values[i] += source[i];
}

/// One tile of columns of a projection, for all rows.
class Tile {
 public:
  Tile(const Projection& projection, std::int64_t first_column, std::int64_t columns,
       float* widened, float* product)
      : projection_(projection),
        first_column_(first_column),
        columns_(columns),
        parts_(projection.gated ? 2 : 1) {
    const std::int64_t rows = projection.in.rows;
    for (int part = 0; part < parts_; ++part) {
      const Tensor stored = row_band(projection.weight->values, weight_row(part), columns);
      weight_[part] =
          prepare_right_side(stored, rows, widened + part * columns * projection.in.cols);
    }
    product_ = float_view(product, std::min(rows, kRowBlock), parts_ * columns);
  }

  void run() {
    for (std::int64_t row = 0; row < projection_.in.rows; row += kRowBlock) {
      const std::int64_t rows = std::min(kRowBlock, projection_.in.rows - row);
      const Tensor in = row_band(projection_.in, row, rows);
      for (int part = 0; part < parts_; ++part) {
        Tensor out = row_band(product_, 0, rows);
        out.data = element(product_, 0, part * columns_);
        out.cols = columns_;
        multiply_transposed(in, weight_[part], out);
      }
      for (std::int64_t i = 0; i < rows; ++i) finish_row(row + i, float_row(product_, i));
    }
  }

 private:
  /// The first weight row of this tile: the gate's rows come first, the up projection's after them.
  std::int64_t weight_row(int part) const { return part * projection_.out.cols + first_column_; }

  void finish_row(std::int64_t row, std::span<float> product) const {
    const auto columns = static_cast<std::size_t>(columns_);
    const std::span<float> result = product.first(columns);
    add_bias(projection_.bias, weight_row(0), result);
    activate(projection_.activation, result);
    if (projection_.gated) {
      const std::span<float> up = product.subspan(columns);
      add_bias(projection_.bias, weight_row(1), up);
      for (std::size_t i = 0; i < columns; ++i) result[i] *= up[i];
    }
    store_floats(projection_.out.dtype, result, element(projection_.out, row, first_column_));
  }

  const Projection& projection_;
  std::int64_t first_column_;
  std::int64_t columns_;
  int parts_;
  Tensor weight_[2];
  Tensor product_;
};

}  // namespace

ProjectionScratch take_projection_scratch(Workspace& workspace, std::int64_t rows,
                                          std::int64_t in_features, int threads) {
  ProjectionScratch scratch;
  const std::int64_t columns = 2 * tile_columns(in_features);  // gate and up
  scratch.widened_stride = columns * in_features;
  scratch.product_stride = std::min(rows, kRowBlock) * columns;
  scratch.widened = workspace.take<float>(threads * scratch.widened_stride);
  scratch.product = workspace.take<float>(threads * scratch.product_stride);
  return scratch;
}

void project(const Projection& projection, const ProjectionScratch& scratch, ThreadPool& pool) {
  const Weight& weight = *projection.weight;
  const std::int64_t out_features = projection.out.cols;
  QUERN_CHECK(weight.in_features == projection.in.cols &&
              projection.in.rows == projection.out.rows);
  QUERN_CHECK(weight.out_features == out_features * (projection.gated ? 2 : 1));
  if (projection.in.rows == 0) return;

  const std::int64_t width = tile_columns(weight.in_features);
  const std::int64_t work = projection.in.rows * weight.out_features * weight.in_features;
  parallel_for(pool, work, ceil_div(out_features, width), [&](std::int64_t index, int thread) {
    const std::int64_t first = index * width;
    Tile(projection, first, std::min(width, out_features - first),
         scratch.widened + thread * scratch.widened_stride,
         scratch.product + thread * scratch.product_stride)
        .run();
  });
}

}  // namespace quern::cpu
