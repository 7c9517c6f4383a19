#include "tests/backend/conformance/backends.h"
#include "tests/backend/conformance/reference_ops.h"
#include "tests/backend/conformance/step_harness.h"
#include "tests/weights/quantized_weight.h"

namespace quern::testing {
namespace {

/// Adds what rounding each of a weight's numbers to `dtype` may change, as graph/op.h allows.
Matrix weight_slack(DType dtype, const Matrix& in, Matrix slack) {
  if (dtype == DType::float32) return slack;
  const double rounding = dtype == DType::float16 ? 0x1p-11 : 0x1p-8;
  for (std::size_t i = 0; i < in.values.size(); ++i) {
    slack.values[i] += rounding * std::abs(in.values[i]);
  }
  return slack;
}

class QuantizedLinearConformance : public TypedBackendTest {
 protected:
  void check(int rows, const WeightShape& shape, const WeightFormat& format,
             bool with_bias = false) {
    SCOPED_TRACE(::testing::Message() << rows << " x " << shape.in_features << " -> "
                                      << shape.out_features << ", " << format_name(format));
    StepHarness harness(*backend_, dtype(), {{.q_len = rows}});
    const auto in = rounded(dtype(), random_floats(rows * shape.in_features, 1));
    const RandomQuantizedWeight weight(format, shape, 2);
    const auto bias = with_bias ? random_floats(shape.out_features, 3) : std::vector<float>{};
    Linear op{};
    op.in = harness.add_value(dtype(), shape.in_features, in);
    op.out = harness.add_value(dtype(), shape.out_features);
    op.weight = harness.add_weight(weight.source());
    if (with_bias) op.bias = harness.add_vector(bias);
    harness.run(op);

    const Matrix in_rows(rows, shape.in_features, in);
    // Tiles of many inputs are multiplied as they are; otherwise numbers may be rounded.
    const bool is_exact = fits_tiles(format) && rows <= 64 && shape.in_features % 8 == 0;
    Matrix slack(rows, shape.in_features);
    if (!is_exact) slack = weight_slack(dtype(), in_rows, slack);
    const Expected expected = reference_projection(
        in_rows, slack, Matrix(shape.out_features, shape.in_features, weight.numbers()), bias,
        Activation::none, false);
    expect_close(harness.read(op.out), expected, static_cast<std::size_t>(shape.out_features),
                 dtype());
  }

  void check_norm(const std::vector<SequenceSpec>& seqs, const WeightShape& shape,
                  const WeightFormat& format, bool gated) {
    SCOPED_TRACE(::testing::Message() << shape.in_features << " -> " << shape.out_features << ", "
                                      << format_name(format) << (gated ? ", gated" : ""));
    StepHarness harness(*backend_, dtype(), seqs);
    const int rows = harness.num_tokens();
    const auto residual = random_floats(rows * shape.in_features, 1);
    const auto delta = rounded(dtype(), random_floats(rows * shape.in_features, 2));
    const RandomQuantizedWeight weight(format, shape, 3);
    const auto bias = random_floats(shape.out_features, 4);
    const ReferenceNorm norm{NormKind::rms, random_floats(shape.in_features, 5), {}, 1e-5f};
    const std::int64_t out_features = gated ? shape.out_features / 2 : shape.out_features;
    NormLinear op{};
    op.residual = harness.add_value(DType::float32, shape.in_features, residual);
    op.delta = harness.add_value(dtype(), shape.in_features, delta);
    op.residual_out = harness.add_value(DType::float32, shape.in_features);
    op.out = harness.add_value(dtype(), out_features);
    op.gain = harness.add_vector(norm.gain);
    op.weight = harness.add_weight(weight.source());
    op.bias = harness.add_vector(bias);
    op.norm = norm.kind;
    op.epsilon = 1e-5f;
    op.activation = gated ? Activation::silu : Activation::none;
    op.gated = gated;
    harness.run(op);

    std::vector<float> sum = residual;
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += delta[i];
    EXPECT_EQ(harness.read(*op.residual_out), sum);
    Matrix slack(0, 0);
    const Matrix normed =
        reference_norm(Matrix(rows, shape.in_features, sum), norm, dtype(), slack);
    const bool is_exact = fits_tiles(format) && rows <= 64 && shape.in_features % 8 == 0 &&
                          (!gated || out_features % 8 == 0);
    if (!is_exact) slack = weight_slack(dtype(), normed, slack);
    const Expected expected = reference_projection(
        normed, slack, Matrix(shape.out_features, shape.in_features, weight.numbers()), bias,
        op.activation, gated);
    expect_close(harness.read(op.out), expected, static_cast<std::size_t>(out_features), dtype());
  }
};

TEST_P(QuantizedLinearConformance, EveryFormat) {
  for (const WeightFormat& format : quantized_formats_to_test()) {
    for (const int rows : {1, 2, 5, 13, 40, 70}) {
      check(rows, {96, 384}, format, true);
      check(rows, {41, 200}, format);
    }
    check(200, {41, 200}, format);
    check(3, {7, 37}, format);
  }
}

TEST_P(QuantizedLinearConformance, NumbersOfRows) {
  const WeightFormat format = {
      .stored = DType::uint4, .scale_dtype = DType::float16, .group_size = 128};
  for (const int rows :
       {0, 1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 130, 192, 193}) {
    check(rows, {200, 1152}, format);
  }
}

// From a single pair of tiles to several per multiprocessor and warp, and several passes.
TEST_P(QuantizedLinearConformance, NumbersOfOutputs) {
  for (const DType stored : {DType::uint4, DType::uint8, DType::float8_e4m3}) {
    const WeightFormat format = {.stored = stored, .scale_dtype = DType::float16, .group_size = 64};
    for (const std::int64_t out_features : {1, 8, 16, 2120, 7001, 30000}) {
      for (const int rows : {1, 2, 6, 16}) check(rows, {out_features, 264}, format);
    }
    check(64, {26000, 136}, format);
  }
}

TEST_P(QuantizedLinearConformance, NormsAndGates) {
  for (const WeightFormat& format : quantized_formats_to_test()) {
    for (const bool gated : {false, true}) {
      for (const int rows : {1, 2, 20}) {
        check_norm({{.q_len = rows}}, {96, 256}, format, gated);
        check_norm({{.q_len = rows}}, {72, 520}, format, gated);
      }
    }
  }
  // Out features of a gate that are no whole tiles.
  check_norm({{.q_len = 1}}, {20, 256}, quantized_formats_to_test().front(), true);
}

TEST_P(QuantizedLinearConformance, ANanOfFloat8StaysInItsRow) {
  if (dtype() == DType::float32) GTEST_SKIP() << "no kernel that reads float8 itself";
  for (const int rows : {1, 12, 70, 200}) {
    const WeightFormat format = {
        .stored = DType::float8_e4m3, .scale_dtype = DType::float32, .group_size = 128};
    RandomQuantizedWeight weight(format, {40, 256}, 2);
    weight.weight().values.row<std::uint8_t>(5)[130] = 0xff;
    StepHarness harness(*backend_, dtype(), {{.q_len = rows}});
    Linear op{};
    op.in = harness.add_value(dtype(), 256, rounded(dtype(), random_floats(rows * 256, 1)));
    op.out = harness.add_value(dtype(), 40);
    op.weight = harness.add_weight(weight.source());
    harness.run(op);
    const auto out = harness.read(op.out);
    for (std::size_t i = 0; i < out.size(); ++i) {
      EXPECT_EQ(std::isnan(out[i]), i % 40 == 5) << i;
    }
  }
}

QUERN_INSTANTIATE_TYPED(QuantizedLinearConformance);

}  // namespace
}  // namespace quern::testing
