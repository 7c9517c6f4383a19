// Attention over KV caches of 8-bit numbers with scales: held to the same double-precision
// reference as unscaled ones, over what the cache says of its vectors.
#include <limits>

#include "tests/backend/conformance/attention_checks.h"

namespace quern::testing {
namespace {

class ScaledAttentionConformance : public AttentionChecks {
 protected:
  /// The case over a cache of each format.
  void check_formats(AttentionCase c) {
    for (const auto& [keys, values] :
         {std::pair<std::optional<DType>, DType>{DType::uint8, DType::uint8},
          {DType::float8_e4m3, DType::float8_e4m3},
          {std::nullopt, DType::uint8}}) {
      SCOPED_TRACE(::testing::Message()
                   << dtype_name(keys.value_or(dtype())) << " and " << dtype_name(values));
      c.keys = keys;
      c.values = values;
      check(c);
    }
  }
};

TEST_P(ScaledAttentionConformance, BlockEdges) {
  for (const int past : {0, 1, 3, 4, 5, 8}) {
    check_formats({.seqs = {{.past = past, .decode = true}}});
    check_formats({.seqs = {{.q_len = 3, .past = past}}});
  }
  for (const int q_len : {1, 5, 31, 33, 65}) check_formats({.seqs = {{.q_len = q_len}}});
}

TEST_P(ScaledAttentionConformance, GroupedQueries) {
  for (const auto& [heads, kv_heads] : {std::pair{4, 1}, std::pair{8, 2}, std::pair{3, 1}}) {
    check_formats({.seqs = {{.past = 6, .decode = true}, {.q_len = 19, .past = 5}},
                   .num_heads = heads,
                   .num_kv_heads = kv_heads});
  }
}

TEST_P(ScaledAttentionConformance, HeadSizes) {
  for (const int head_dim : {1, 7, 24, 48}) {
    check_formats({.seqs = {{.past = 6, .decode = true}, {.q_len = 11}}, .head_dim = head_dim});
  }
}

TEST_P(ScaledAttentionConformance, HeadSizesOfLargeModels) {
  const std::vector<SequenceSpec> seqs = {
      {.past = 290, .decode = true},
      {.past = 140, .decode = true, .status = SequenceStatus::limit},
      {.past = 127, .decode = true},
      {.q_len = 33, .past = 95},
      {.q_len = 3, .status = SequenceStatus::stop},
      {.q_len = 66}};
  for (const int head_dim : {16, 32, 64, 80, 96, 128, 256}) {
    SCOPED_TRACE(::testing::Message() << "head_dim " << head_dim);
    check_formats({.seqs = seqs,
                   .num_heads = 4,
                   .num_kv_heads = 2,
                   .head_dim = head_dim,
                   .block_size = 16,
                   .rope = rope_of(RopeType::standard, head_dim),
                   .qk_norm = true});
    check_formats({.seqs = seqs,
                   .num_heads = 7,
                   .num_kv_heads = 1,
                   .head_dim = head_dim,
                   .block_size = 32,
                   .window = 50,
                   .softcap = 5.0f});
  }
}

TEST_P(ScaledAttentionConformance, LongContext) {
  check_formats({.seqs = {{.past = 1500, .decode = true}, {.q_len = 40, .past = 700}},
                 .num_heads = 2,
                 .num_kv_heads = 1,
                 .head_dim = 32,
                 .block_size = 32});
}

TEST_P(ScaledAttentionConformance, VeryLongContext) {
  check_formats({.seqs = {{.past = 20000, .decode = true}},
                 .num_heads = 1,
                 .num_kv_heads = 1,
                 .head_dim = 64,
                 .block_size = 32});
}

TEST_P(ScaledAttentionConformance, ContiguousCacheAndWindows) {
  check_formats({.seqs = {{.past = 300, .decode = true}, {.q_len = 50, .past = 290}},
                 .block_size = 512,
                 .window = 40});
}

TEST_P(ScaledAttentionConformance, LognSharpScoresAndPartialRope) {
  const std::vector<SequenceSpec> seqs = {{.past = 20, .decode = true}, {.q_len = 18, .past = 3}};
  check_formats({.seqs = seqs, .rope = rope_of(RopeType::standard, 8), .logn_length = 4});
  check_formats({.seqs = seqs, .magnitude = 8.0f});
  check_formats({.seqs = seqs, .magnitude = 1e-3f});
}

TEST_P(ScaledAttentionConformance, NoSequences) { check_formats({.seqs = {}}); }

/// Values whose vectors differ a thousandfold in length, up and down along the sequence.
TEST_P(ScaledAttentionConformance, ScalesOfVeryDifferentSize) {
  for (const int head_dim : {8, 64}) {
    for (const bool decode : {false, true}) {
      SCOPED_TRACE(::testing::Message() << "head_dim " << head_dim << ", decode " << decode);
      const int past = decode ? 99 : 0;
      StepHarness harness(*backend_, dtype(),
                          {{.q_len = decode ? 1 : 100, .past = past, .decode = decode}});
      harness.add_kv_cache(1, 1, head_dim, kv_format(DType::uint8, DType::uint8));
      const int tokens = harness.num_tokens();
      auto qkv = random_floats(std::int64_t{tokens} * 3 * head_dim, 1);
      for (int token = 0; token < tokens; ++token) {
        const float factor = token / 20 % 2 == 0 ? 1e-3f : 30.0f;
        const auto value = qkv.begin() + (std::ptrdiff_t{token} * 3 + 2) * head_dim;
        std::for_each(value, value + head_dim, [=](float& x) { x *= factor; });
      }
      qkv = rounded(dtype(), qkv);
      Attention op{};
      op.qkv = harness.add_value(dtype(), std::int64_t{3} * head_dim, qkv);
      op.out = harness.add_value(dtype(), head_dim);
      op.num_heads = op.num_kv_heads = 1;
      op.head_dim = head_dim;
      op.scale = 0.1f;
      for (int slot = 0; decode && slot < past; ++slot) {
        const float factor = slot / 20 % 2 == 0 ? 1e-3f : 30.0f;
        harness.scale_value(0, 0, 0, slot, factor);
      }
      harness.run(op);
      const auto out = harness.read(op.out);
      for (int token = 0; token < tokens; ++token) {
        std::vector<std::vector<float>> keys, values;
        for (int slot = 0; slot <= past + token; ++slot) {
          keys.push_back(harness.read_key(0, 0, 0, slot));
          values.push_back(harness.read_value(0, 0, 0, slot));
        }
        const auto begin = qkv.begin() + std::ptrdiff_t{token} * 3 * head_dim;
        const auto query = std::vector<double>(begin, begin + head_dim);
        const std::vector<double> slack(query.size());
        const Expected expected =
            reference_attention(op, query, slack, keys, values, dtype(), true);
        for (std::size_t i = 0; i < query.size(); ++i) {
          const double x = expected.values[i];
          EXPECT_NEAR(out[static_cast<std::size_t>(token * head_dim) + i], x,
                      2.0 * expected.bounds[i] + ulp(dtype(), x))
              << "token " << token;
        }
      }
    }
  }
}

TEST_P(ScaledAttentionConformance, ZeroVectors) {
  for (const int head_dim : {8, 64}) {
    StepHarness harness(*backend_, dtype(), {{.q_len = 5}});
    harness.add_kv_cache(1, 1, head_dim, kv_format(DType::float8_e4m3, DType::float8_e4m3));
    Attention op{};
    op.qkv =
        harness.add_value(dtype(), std::int64_t{3} * head_dim,
                          std::vector<float>(static_cast<std::size_t>(5 * 3 * head_dim), 0.0f));
    op.out = harness.add_value(dtype(), head_dim);
    op.num_heads = op.num_kv_heads = 1;
    op.head_dim = head_dim;
    harness.run(op);
    for (const float x : harness.read(op.out)) EXPECT_EQ(x, 0.0f);
  }
}

TEST_P(ScaledAttentionConformance, NonFiniteValueStaysInvisibleToEarlierTokens) {
  for (const int head_dim : {8, 64}) {
    SCOPED_TRACE(::testing::Message() << "head_dim " << head_dim);
    const auto size = static_cast<std::size_t>(head_dim);
    StepHarness harness(*backend_, dtype(), {{.q_len = 20}});
    harness.add_kv_cache(1, 1, head_dim, kv_format(DType::uint8, DType::uint8));
    auto qkv = rounded(dtype(), random_floats(std::int64_t{20} * 3 * head_dim, 1));
    qkv[(12 * 3 + 2) * size] = std::numeric_limits<float>::infinity();
    Attention op{};
    op.qkv = harness.add_value(dtype(), std::int64_t{3} * head_dim, qkv);
    op.out = harness.add_value(dtype(), head_dim);
    op.num_heads = op.num_kv_heads = 1;
    op.head_dim = head_dim;
    op.scale = 0.1f;
    harness.run(op);
    const auto out = harness.read(op.out);
    for (std::size_t row = 0; row < 20; ++row) {
      for (std::size_t i = 0; i < size; ++i) {
        EXPECT_EQ(std::isfinite(out[row * size + i]), row < 12) << "token " << row;
      }
    }
  }
}

QUERN_INSTANTIATE_TYPED(ScaledAttentionConformance);

}  // namespace
}  // namespace quern::testing
