#include "tests/backend/conformance/backends.h"
#include "tests/backend/conformance/reference_ops.h"
#include "tests/backend/conformance/step_harness.h"

namespace quern::testing {
namespace {

struct Case {
  std::vector<SequenceSpec> seqs = {{.q_len = 3}};
  std::int64_t in = 48;
  std::int64_t out = 40;
  NormKind norm = NormKind::rms;
  Activation activation = Activation::none;
  bool gated = false;
  bool delta = true;
  bool residual_out = true;
  bool bias = false;
  bool norm_bias = false;
  bool logit_rows_only = false;  ///< out has the chosen rows
  bool in_logit_rows = false;    ///< with logit_rows_only: the inputs have no others
  bool is_logits = true;         ///< with logit_rows_only: out is float32
  DType stored = DType::float32;
  float outlier = 1.0f;
};

class NormLinearConformance : public TypedBackendTest {
 protected:
  void check(const Case& c) {
    StepHarness harness(*backend_, dtype(), c.seqs);
    const auto num_logit_rows = static_cast<int>(harness.logit_rows().size());
    const int in_rows = c.in_logit_rows ? num_logit_rows : harness.num_tokens();
    auto residual = random_floats(in_rows * c.in, 1);
    for (std::size_t i = 2; i < residual.size(); i += static_cast<std::size_t>(c.in)) {
      residual[i] *= c.outlier;
    }
    const auto delta = rounded(dtype(), random_floats(in_rows * c.in, 2));
    const std::int64_t weight_rows = c.gated ? 2 * c.out : c.out;
    const auto weight = rounded(c.stored, random_floats(weight_rows * c.in, 3));
    const auto bias = c.bias ? random_floats(weight_rows, 4) : std::vector<float>{};
    const ReferenceNorm norm{c.norm, random_floats(c.in, 5),
                             c.norm_bias ? random_floats(c.in, 6) : std::vector<float>{}, 1e-5f};

    NormLinear op{};
    const DType out_dtype = c.logit_rows_only && c.is_logits ? DType::float32 : dtype();
    op.in_rows = c.in_logit_rows ? Rows::logit_rows : Rows::tokens;
    op.out_rows = c.logit_rows_only ? Rows::logit_rows : Rows::tokens;
    op.residual = harness.add_value(DType::float32, c.in, residual, op.in_rows);
    if (c.delta) op.delta = harness.add_value(dtype(), c.in, delta, op.in_rows);
    if (c.residual_out) op.residual_out = harness.add_value(DType::float32, c.in, {}, op.out_rows);
    op.out = harness.add_value(out_dtype, c.out, {}, op.out_rows);
    op.gain = harness.add_vector(norm.gain);
    if (c.norm_bias) op.norm_bias = harness.add_vector(norm.bias);
    op.weight = harness.add_weight(WeightUse::matrix, c.stored, weight_rows, c.in, weight);
    if (c.bias) op.bias = harness.add_vector(bias);
    op.norm = c.norm;
    op.epsilon = 1e-5f;
    op.activation = c.activation;
    op.gated = c.gated;
    harness.run(op);

    std::vector<float> sum = residual;
    for (std::size_t i = 0; c.delta && i < sum.size(); ++i) sum[i] += delta[i];
    std::vector<float> wanted = sum;
    if (op.in_rows != op.out_rows) {
      wanted.clear();
      for (const std::int32_t row : harness.logit_rows()) {
        wanted.insert(wanted.end(), sum.begin() + row * c.in, sum.begin() + (row + 1) * c.in);
      }
    }
    if (c.residual_out) {
      EXPECT_EQ(harness.read(*op.residual_out), wanted);
    }
    const std::int64_t rows = std::ssize(wanted) / c.in;
    Matrix slack(0, 0);
    const Matrix normed = reference_norm(Matrix(rows, c.in, wanted), norm, dtype(), slack);
    const Expected expected = reference_projection(normed, slack, Matrix(weight_rows, c.in, weight),
                                                   bias, c.activation, c.gated);
    // One ulp of a rounded norm shows in the logits, which are not rounded themselves.
    NmseLimits limits;
    if (out_dtype != dtype()) limits.float32 = limits.of(dtype());
    expect_close(harness.read(op.out), expected, static_cast<std::size_t>(c.out), out_dtype,
                 limits);
  }
};

TEST_P(NormLinearConformance, QkvOfLlama) { check({}); }

TEST_P(NormLinearConformance, QkvOfGpt2) {
  check({.norm = NormKind::layer, .bias = true, .norm_bias = true});
  check({.norm = NormKind::layer, .delta = false, .residual_out = false});
}

TEST_P(NormLinearConformance, Sizes) {
  for (const int rows : {1, 2, 5, 8, 9, 40}) {
    check({.seqs = {{.q_len = rows}}, .in = 33, .out = 17, .gated = true});
    check({.seqs = {{.q_len = rows}}, .in = 64, .out = 300, .bias = true});
  }
  check({.seqs = {{.q_len = 270}}, .in = 24, .out = 10});
  check({.in = 1, .out = 1});
}

TEST_P(NormLinearConformance, Activations) {
  for (const Activation activation :
       {Activation::none, Activation::silu, Activation::gelu, Activation::gelu_tanh,
        Activation::relu, Activation::quick_gelu, Activation::gelu_10, Activation::relu_squared,
        Activation::relu6, Activation::leaky_relu, Activation::tanh, Activation::sigmoid,
        Activation::mish, Activation::hardswish, Activation::laplace, Activation::sqrt_softplus}) {
    for (const bool gated : {false, true}) {
      SCOPED_TRACE(::testing::Message()
                   << "activation " << static_cast<int>(activation) << (gated ? " gated" : ""));
      check({.activation = activation, .gated = gated, .bias = gated});
      check({.seqs = {{.q_len = 12}}, .activation = activation, .gated = gated, .bias = !gated});
    }
  }
}

TEST_P(NormLinearConformance, StoredDtypes) {
  for (const DType stored : {DType::float16, DType::bfloat16}) {
    check({.gated = true, .stored = stored});
    check({.seqs = {{.q_len = 21}}, .gated = true, .stored = stored});
  }
}

TEST_P(NormLinearConformance, OneDtypeThroughout) {
  for (const int rows : {1, 2, 3, 4, 6, 16, 40, 64, 70}) {
    const std::vector<SequenceSpec> seqs = {{.q_len = rows}};
    for (const bool gated : {false, true}) {
      const Activation activation = gated ? Activation::silu : Activation::gelu_tanh;
      check({.seqs = seqs,
             .in = 264,
             .out = 50,
             .activation = activation,
             .gated = gated,
             .bias = !gated,
             .stored = dtype()});
      check({.seqs = seqs,
             .in = 1032,
             .out = 48,
             .activation = activation,
             .gated = gated,
             .bias = gated,
             .stored = dtype()});
    }
    check({.seqs = seqs,
           .in = 128,
           .out = 33,
           .norm = NormKind::layer,
           .bias = true,
           .norm_bias = true,
           .stored = dtype(),
           .outlier = 1e3f});
    check({.seqs = seqs,
           .in = 128,
           .out = 300,
           .residual_out = false,
           .logit_rows_only = true,
           .stored = dtype()});
  }
  std::vector<SequenceSpec> many(70, SequenceSpec{.q_len = 2});
  check({.seqs = many, .in = 64, .out = 33, .logit_rows_only = true, .stored = dtype()});
  check({.seqs = many, .in = 64, .out = 40, .logit_rows_only = true, .stored = dtype()});
}

// More rows than a tile of any kernel has.
TEST_P(NormLinearConformance, ManyRows) {
  for (const Activation activation : {Activation::none, Activation::silu, Activation::gelu,
                                      Activation::gelu_tanh, Activation::relu}) {
    for (const bool gated : {false, true}) {
      SCOPED_TRACE(::testing::Message()
                   << "activation " << static_cast<int>(activation) << (gated ? " gated" : ""));
      check({.seqs = {{.q_len = 400}, {.q_len = 199}},
             .in = 264,
             .out = 272,
             .activation = activation,
             .gated = gated,
             .bias = !gated,
             .stored = dtype()});
    }
  }
}

// More weight rows than a GPU's multiprocessors process at a time: shares that begin and end within
// tiles of the weight, and some that span several.
TEST_P(NormLinearConformance, ManyOutputs) {
  for (const int rows : {1, 3}) {
    const std::vector<SequenceSpec> seqs = {{.q_len = rows}};
    check({.seqs = seqs, .in = 2312, .out = 3001, .stored = dtype()});
    check({.seqs = seqs,
           .in = 392,
           .out = 2602,
           .activation = Activation::silu,
           .gated = true,
           .bias = true,
           .stored = dtype()});
  }
  for (const int rows : {7, 12, 30}) {
    check({.seqs = {{.q_len = rows}}, .in = 264, .out = 20000, .stored = dtype()});
  }
  check({.seqs = {{.q_len = 9}},
         .in = 392,
         .out = 9001,
         .activation = Activation::silu,
         .gated = true,
         .stored = dtype()});
}

TEST_P(NormLinearConformance, WithoutDeltaOrResidualOut) {
  check({.delta = false});
  check({.residual_out = false});
  check({.delta = false, .residual_out = false});
}

TEST_P(NormLinearConformance, LogitRowsOnly) {
  const std::vector<SequenceSpec> seqs = {
      {.q_len = 1, .past = 2, .decode = true},
      {.q_len = 1, .past = 3, .decode = true, .wants_logits = false},
      {.q_len = 5},
      {.q_len = 4, .wants_logits = false},
      {.q_len = 2}};
  check({.seqs = seqs, .residual_out = false, .logit_rows_only = true});
  check({.seqs = seqs, .delta = false, .residual_out = false, .logit_rows_only = true});
  check({.seqs = seqs, .norm = NormKind::layer, .norm_bias = true, .logit_rows_only = true});
  check({.seqs = {{.q_len = 4, .wants_logits = false}}, .logit_rows_only = true});
  check({.seqs = seqs, .residual_out = false, .logit_rows_only = true, .in_logit_rows = true});
}

TEST_P(NormLinearConformance, LastMlp) {
  const std::vector<SequenceSpec> one = {{.q_len = 7, .wants_logits = false}, {.q_len = 5}};
  const std::vector<SequenceSpec> many(70, SequenceSpec{.q_len = 2});
  for (const auto& seqs : {one, many}) {
    for (const bool gated : {false, true}) {
      check({.seqs = seqs,
             .in = 264,
             .out = 48,
             .activation = gated ? Activation::silu : Activation::gelu_tanh,
             .gated = gated,
             .logit_rows_only = true,
             .is_logits = false,
             .stored = dtype()});
    }
    check({.seqs = seqs, .logit_rows_only = true, .is_logits = false});
  }
  check({.seqs = {{.q_len = 4, .wants_logits = false}},
         .logit_rows_only = true,
         .is_logits = false,
         .stored = dtype()});
}

TEST_P(NormLinearConformance, OutlierChannels) {
  for (const float outlier : {1e3f, 1e4f}) {
    check({.outlier = outlier});
    check({.norm = NormKind::layer, .norm_bias = true, .outlier = outlier});
  }
}

TEST_P(NormLinearConformance, NoTokens) { check({.seqs = {}}); }

QUERN_INSTANTIATE_TYPED(NormLinearConformance);

}  // namespace
}  // namespace quern::testing
