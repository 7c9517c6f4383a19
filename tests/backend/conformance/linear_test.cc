#include <tuple>

#include "tests/backend/conformance/backends.h"
#include "tests/backend/conformance/reference_ops.h"
#include "tests/backend/conformance/step_harness.h"

namespace quern::testing {
namespace {

class LinearConformance : public TypedBackendTest {
 protected:
  /// Runs one Linear of these sizes and checks it against the reference.
  void check(int rows, std::int64_t in_features, std::int64_t out_features, bool with_bias,
             DType stored, float outlier = 1.0f, Rows kind = Rows::tokens) {
    SCOPED_TRACE(::testing::Message() << rows << " x " << in_features << " -> " << out_features
                                      << " stored as " << dtype_name(stored));
    std::vector<SequenceSpec> seqs = {{.q_len = rows}};
    if (kind == Rows::logit_rows) {
      seqs.assign(static_cast<std::size_t>(rows), {.q_len = 2});
      seqs.push_back({.q_len = 3, .wants_logits = false});
    }
    StepHarness harness(*backend_, dtype(), seqs);
    auto content = random_floats(rows * in_features, 1);
    for (std::size_t i = 3; i < content.size(); i += static_cast<std::size_t>(in_features)) {
      content[i] *= outlier;
    }
    const auto in = rounded(dtype(), content);
    const auto weight = rounded(stored, random_floats(in_features * out_features, 2));
    const auto bias = with_bias ? random_floats(out_features, 3) : std::vector<float>{};

    Linear op{};
    op.rows = kind;
    op.in = harness.add_value(dtype(), in_features, in, kind);
    op.out = harness.add_value(dtype(), out_features, {}, kind);
    op.weight = harness.add_weight(WeightUse::matrix, stored, out_features, in_features, weight);
    if (with_bias) op.bias = harness.add_vector(bias);
    harness.run(op);

    const Expected expected = reference_projection(
        Matrix(rows, in_features, in), Matrix(rows, in_features),
        Matrix(out_features, in_features, weight), bias, Activation::none, false);
    expect_close(harness.read(op.out), expected, static_cast<std::size_t>(out_features), dtype());
  }
};

TEST_P(LinearConformance, LogitRows) {
  for (const int rows : {0, 1, 3, 40}) {
    check(rows, 256, 96, true, dtype(), 1.0f, Rows::logit_rows);
    check(rows, 37, 41, false, DType::float32, 1.0f, Rows::logit_rows);
  }
}

TEST_P(LinearConformance, SizesOddAndEven) {
  for (const int rows : {1, 2, 3, 4, 5, 7, 8, 9, 17, 33}) {
    check(rows, 64, 96, false, DType::float32);
    check(rows, 37, 41, true, DType::float32);
  }
  check(1, 1, 1, true, DType::float32);
  check(3, 5, 1, false, DType::float32);
  check(300, 192, 130, true, DType::float32);
  check(11, 1037, 259, false, DType::float32);
  // Sizes of a backend's fast paths for one dtype throughout, and sizes that just miss them.
  for (const int rows : {1, 2, 3, 4, 5, 8, 17, 33, 64, 65, 130}) {
    for (const bool with_bias : {false, true}) {
      check(rows, 256, 96, with_bias, dtype());
      check(rows, 1000, 41, with_bias, dtype());
      check(rows, 24, 10, with_bias, dtype());
      check(rows, 8, 16, with_bias, dtype());
      check(rows, 31, 24, with_bias, dtype());
    }
  }
}

// From few outputs per multiprocessor to many, with unaligned output rows, as a vocabulary size can
// cause.
TEST_P(LinearConformance, UnalignedOutputs) {
  for (const std::int64_t out_features : {1001, 7001, 13003}) {
    check(13, 264, out_features, true, dtype());
  }
  for (const std::int64_t out_features : {2003, 4001}) {
    check(19, 520, out_features, false, dtype());
  }
}

TEST_P(LinearConformance, StoredDtypes) {
  for (const DType stored : {DType::float16, DType::bfloat16}) {
    for (const int rows : {1, 2, 6, 13}) {
      check(rows, 64, 96, true, stored);
      check(rows, 77, 35, false, stored);
    }
  }
}

TEST_P(LinearConformance, OutlierChannels) {
  check(2, 128, 64, true, DType::float16, 1e3f);
  check(20, 128, 64, true, DType::float16, 1e4f);
}

TEST_P(LinearConformance, NoTokens) { check(0, 16, 8, true, DType::float32); }

TEST_P(LinearConformance, NanAndInfinityStayInTheirRow) {
  StepHarness harness(*backend_, dtype(), {{.q_len = 12}});
  auto in = rounded(dtype(), random_floats(12 * 16, 1));
  in[5] = std::numeric_limits<float>::quiet_NaN();
  in[2 * 16] = std::numeric_limits<float>::infinity();
  Linear op{};
  op.in = harness.add_value(dtype(), 16, in);
  op.out = harness.add_value(dtype(), 8);
  op.weight = harness.add_weight(WeightUse::matrix, DType::float32, 8, 16,
                                 std::vector<float>(8 * 16, 1.0f));
  harness.run(op);
  const auto out = harness.read(op.out);
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (i / 8 == 0) {
      EXPECT_TRUE(std::isnan(out[i]));
    } else if (i / 8 == 2) {
      EXPECT_EQ(out[i], std::numeric_limits<float>::infinity());
    } else {
      EXPECT_TRUE(std::isfinite(out[i]));
    }
  }
}

TEST_P(LinearConformance, OverflowBecomesInfinity) {
  const float large = dtype() == DType::float16 ? 60000.0f : 3e38f;
  StepHarness harness(*backend_, dtype(), {{.q_len = 1}});
  Linear op{};
  op.in = harness.add_value(dtype(), 2, {large, large});
  op.out = harness.add_value(dtype(), 2);
  op.weight =
      harness.add_weight(WeightUse::matrix, DType::float32, 2, 2, {1.0f, 1.0f, -1.0f, -1.0f});
  harness.run(op);
  const float infinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(harness.read(op.out), (std::vector<float>{infinity, -infinity}));
}

QUERN_INSTANTIATE_TYPED(LinearConformance);

}  // namespace
}  // namespace quern::testing
