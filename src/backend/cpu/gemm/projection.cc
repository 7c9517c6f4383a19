#include "backend/cpu/gemm/projection.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "backend/cpu/gemm/gemm.h"
#include "backend/cpu/gemm/vector_kernels.h"
#include "backend/cpu/integer/integer_kernels.h"
#include "backend/cpu/parallel.h"
#include "backend/cpu/views.h"
#include "base/check.h"
#include "base/half.h"
#include "weights/weight.h"

namespace quern::cpu {
namespace {

constexpr std::int64_t kMaxTileColumns = 120;
constexpr std::int64_t kRowBlock = 256;

/// Output columns of a tile, such that its widened weight rows fit into L2. Depends on the weight
/// only, so that results do not depend on batch or threads.
std::int64_t tile_columns(std::int64_t in_features) {
  constexpr std::int64_t kWidenedElements = 1 << 18;
  constexpr std::int64_t kGranule = 24;  // whole blocks of the vector kernels for any M
  const std::int64_t columns = kWidenedElements / in_features / kGranule * kGranule;
  return std::clamp(columns, kGranule, kMaxTileColumns);
}

float gelu(float x) { return 0.5f * x * std::erfc(-x * (std::numbers::sqrt2_v<float> / 2.0f)); }

/// log(1 + e^x), without overflow.
float softplus(float x) { return std::max(x, 0.0f) + std::log1p(std::exp(-std::abs(x))); }

template <typename Function>
void transform(std::span<float> values, const Function& function) {
  for (float& x : values) x = function(x);
}

/// Those that few models have. Comparisons let NaN stay NaN.
void activate_rare(Activation activation, std::span<float> values) {
  switch (activation) {
    case Activation::quick_gelu:
      return transform(values, [](float x) { return x / (1.0f + std::exp(-1.702f * x)); });
    case Activation::gelu_10:
      return transform(values, [](float x) { return std::clamp(gelu(x), -10.0f, 10.0f); });
    case Activation::relu_squared:
      return transform(values, [](float x) { return x < 0.0f ? 0.0f : x * x; });
    case Activation::relu6:
      return transform(values, [](float x) { return std::clamp(x, 0.0f, 6.0f); });
    case Activation::leaky_relu:
      return transform(values, [](float x) { return x < 0.0f ? 0.01f * x : x; });
    case Activation::tanh:
      return transform(values, [](float x) { return std::tanh(x); });
    case Activation::sigmoid:
      return transform(values, [](float x) { return 1.0f / (1.0f + std::exp(-x)); });
    case Activation::mish:
      return transform(values, [](float x) { return x * std::tanh(softplus(x)); });
    case Activation::hardswish:
      return transform(values,
                       [](float x) { return x * (std::clamp(x + 3.0f, 0.0f, 6.0f) / 6.0f); });
    case Activation::laplace:
      return transform(values, [](float x) {
        constexpr float kScale = 1.0f / (0.282095f * std::numbers::sqrt2_v<float>);
        return 0.5f * std::erfc((0.707107f - x) * kScale);
      });
    case Activation::sqrt_softplus:
      return transform(values, [](float x) { return std::sqrt(softplus(x)); });
    default:
      QUERN_CHECK(false, "activation {}", static_cast<int>(activation));
  }
}

/// In place, in float32.
void activate(Activation activation, std::span<float> values) {
  switch (activation) {
    case Activation::none:
      return;
    case Activation::silu:
      return vector_kernels().silu(values);
    case Activation::gelu:
      return transform(values, gelu);
    case Activation::gelu_tanh:
      return vector_kernels().gelu_tanh(values);
    case Activation::relu:
      return transform(values, [](float x) { return x < 0.0f ? 0.0f : x; });  // NaN propagates
    default:
      return activate_rare(activation, values);
  }
}

void add_bias(const Weight* bias, std::int64_t first, std::span<float> values) {
  if (bias == nullptr) return;
  const float* source = bias->values.row<float>(0) + first;
  for (std::size_t i = 0; i < values.size(); ++i) values[i] += source[i];
}

/// Rows of a weight as a GEMM with M = `rows` needs them: as stored where the vector kernels read
/// that format, else dequantized to `scratch`.
Tensor prepare_weight_rows(const Weight& weight, std::int64_t first, std::int64_t count,
                           std::int64_t rows, float* scratch) {
  if (!weight.format.scale_dtype && reads_as_stored(weight.format.stored, rows)) {
    return row_slice(weight.values, first, count);
  }
  const Tensor widened = float_view(scratch, count, weight.in_features);
  for (std::int64_t row = 0; row < count; ++row) {
    dequantize_row(weight, first + row, float_row(widened, row));
  }
  return widened;
}

/// Whether a weight is likely to be in the caches still, from the step before.
bool stays_in_cache(const Weight& weight) {
  constexpr std::size_t kSmall = std::size_t{1} << 19;
  return storage_bytes(weight.format, weight.shape()) <= kSmall;
}

/// A tile of output columns by a block of rows.
class OutputTile {
 public:
  OutputTile(const Projection& projection, std::int64_t first_row, std::int64_t first_column,
             std::int64_t columns, const ProjectionScratch& scratch, int thread)
      : projection_(projection),
        first_row_(first_row),
        first_column_(first_column),
        columns_(columns),
        num_weights_(projection.gated ? 2 : 1),
        rounded_(scratch.rounded),
        widened_(scratch.widened + thread * scratch.widened_stride) {
    const std::int64_t rows = std::min(kRowBlock, projection.in.rows - first_row);
    product_ =
        float_view(scratch.product + thread * scratch.product_stride, rows, num_weights_ * columns);
  }

  void run() {
    const Tensor in = row_slice(projection_.in, first_row_, product_.rows);
    for (int which = 0; which < num_weights_; ++which) {
      Tensor out = product_;
      out.data = element(product_, 0, which * columns_);
      out.cols = columns_;
      const Weight& weight = *projection_.weight;
      if (rounded_.integers != nullptr) {
        integer_dot()(rounded_.row_slice(first_row_, product_.rows), weight, weight_row(which),
                      out);
        continue;
      }
      if (weight.format.is_quantized() && multiply_quantized(in, weight, weight_row(which), out)) {
        continue;
      }
      const Tensor rows =
          prepare_weight_rows(weight, weight_row(which), columns_, in.rows, widened_);
      const bool is_widened = rows.data == reinterpret_cast<const std::byte*>(widened_);
      multiply_transposed(in, rows, out, is_widened || stays_in_cache(weight));
    }
    for (std::int64_t i = 0; i < product_.rows; ++i) {
      finish_row(first_row_ + i, float_row(product_, i));
    }
  }

 private:
  /// First weight row of this tile: the gate's rows come first, the up projection's follow.
  std::int64_t weight_row(int which) const { return which * projection_.out.cols + first_column_; }

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
  std::int64_t first_row_;
  std::int64_t first_column_;
  std::int64_t columns_;
  int num_weights_;  ///< 2 when gated: gate and up
  RoundedInput rounded_;
  float* widened_;  ///< room for the rows of one weight
  Tensor product_;
};

}  // namespace

ProjectionScratch take_projection_scratch(Workspace& workspace, std::int64_t rows,
                                          std::int64_t in_features, const WeightFormat& format,
                                          int threads) {
  ProjectionScratch scratch;
  const std::int64_t columns = tile_columns(in_features);
  scratch.widened_stride = columns * in_features;
  scratch.product_stride = std::min(rows, kRowBlock) * 2 * columns;  // gate and up
  scratch.widened = workspace.take<float>(threads * scratch.widened_stride);
  scratch.product = workspace.take<float>(threads * scratch.product_stride);
  scratch.rounded = take_rounded_input(workspace, rows, in_features, format);
  return scratch;
}

void project(const Projection& given, const ProjectionScratch& scratch, ThreadPool& pool) {
  Projection projection = given;
  const Weight& weight = *projection.weight;
  const std::int64_t out_features = projection.out.cols;
  QUERN_CHECK(weight.in_features == projection.in.cols &&
              projection.in.rows == projection.out.rows);
  QUERN_CHECK(weight.out_features == out_features * (projection.gated ? 2 : 1));
  if (projection.in.rows == 0) return;
  if (weight.format.activation.rounding != ActivationRounding::none) {
    round_input(projection.in, weight, scratch.rounded, pool);
    if (scratch.rounded.integers == nullptr) {
      projection.in = float_view(scratch.rounded.floats, projection.in.rows, projection.in.cols);
    }
  }

  const std::int64_t width = tile_columns(weight.in_features);
  const std::int64_t work = projection.in.rows * weight.out_features * weight.in_features;
  // Tiles of many rows are split along M too, although each widens its weight again (1 % of the
  // work): the caller waits for the last tile, whose worker may have been preempted.
  const std::int64_t row_blocks = ceil_div(projection.in.rows, kRowBlock);
  const std::int64_t tiles = ceil_div(out_features, width) * row_blocks;
  parallel_for(pool, work, tiles, [&](std::int64_t index, int thread) {
    const std::int64_t first = index / row_blocks * width;
    OutputTile(projection, index % row_blocks * kRowBlock, first,
               std::min(width, out_features - first), scratch, thread)
        .run();
  });
}

}  // namespace quern::cpu
