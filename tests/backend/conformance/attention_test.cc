#include "graph/rope.h"
#include "tests/backend/conformance/backends.h"
#include "tests/backend/conformance/reference_ops.h"
#include "tests/backend/conformance/step_harness.h"

namespace quern::testing {
namespace {

struct Case {
  std::vector<SequenceSpec> seqs;
  int num_heads = 2;
  int num_kv_heads = 2;
  int head_dim = 16;
  int block_size = 4;
  std::optional<Rope> rope = std::nullopt;
  bool qk_norm = false;
  int window = 0;
  float softcap = 0.0f;
  int logn_length = 0;
  float magnitude = 1.0f;  ///< of q and k
};

class AttentionConformance : public TypedBackendTest {
 protected:
  static constexpr int kLayer = 1;

  void check(const Case& c) {
    StepHarness harness(*backend_, dtype(), c.seqs, c.block_size);
    harness.add_kv_cache(kLayer + 2, c.num_kv_heads, c.head_dim);
    const int heads = c.num_heads + 2 * c.num_kv_heads;
    auto content = random_floats(std::int64_t{harness.num_tokens()} * heads * c.head_dim, 1);
    for (float& x : content) x *= c.magnitude;
    qkv_ = rounded(dtype(), content);
    q_norm_ = c.qk_norm ? random_floats(c.head_dim, 2) : std::vector<float>{};
    k_norm_ = c.qk_norm ? random_floats(c.head_dim, 3) : std::vector<float>{};

    op_ = {};
    op_.qkv = harness.add_value(dtype(), std::int64_t{heads} * c.head_dim, qkv_);
    op_.out = harness.add_value(dtype(), std::int64_t{c.num_heads} * c.head_dim);
    op_.layer = kLayer;
    op_.num_heads = c.num_heads;
    op_.num_kv_heads = c.num_kv_heads;
    op_.head_dim = c.head_dim;
    op_.rope = c.rope;
    if (c.qk_norm) {
      op_.q_norm = harness.add_vector(q_norm_);
      op_.k_norm = harness.add_vector(k_norm_);
      op_.norm_epsilon = 1e-6f;
    }
    op_.scale = 1.0f / std::sqrt(static_cast<float>(c.head_dim));
    op_.window = c.window;
    op_.softcap = c.softcap;
    op_.logn_length = c.logn_length;
    harness.run(op_);

    const auto out = harness.read(op_.out);
    for (int seq = 0; seq < harness.num_seqs(); ++seq) check_sequence(harness, seq, out);
  }

 private:
  /// The `index`-th head of a token row.
  std::vector<double> head_of(int row, int index) const {
    const int heads = op_.num_heads + 2 * op_.num_kv_heads;
    const auto begin = qkv_.begin() + (std::ptrdiff_t{row} * heads + index) * op_.head_dim;
    return {begin, begin + op_.head_dim};
  }

  void check_sequence(const StepHarness& harness, int seq, const std::vector<float>& out) const {
    SCOPED_TRACE(::testing::Message() << "sequence " << seq);
    const SequenceSpec& spec = harness.spec(seq);
    const int row_elements = op_.num_heads * op_.head_dim;
    const auto first = out.begin() + std::ptrdiff_t{harness.first_row(seq)} * row_elements;
    const std::vector<float> rows(first, first + std::ptrdiff_t{spec.q_len} * row_elements);
    if (spec.status != SequenceStatus::running) {
      EXPECT_EQ(rows, std::vector<float>(rows.size(), 0.0f));
      EXPECT_TRUE(std::isnan(harness.read_key(op_.layer, seq, 0, spec.past)[0])) << "appended";
      return;
    }
    const int kv_len = spec.past + spec.q_len;
    std::vector<float> inv_freq;
    if (op_.rope) {
      double alpha = spec.rope_alpha;
      if (op_.rope->type == RopeType::dynamic) {
        alpha = std::max(alpha, rope_alpha(*op_.rope, kv_len));
      }
      inv_freq = rope_inv_freq(*op_.rope, alpha);
    }
    for (int kv_head = 0; kv_head < op_.num_kv_heads; ++kv_head) {
      check_appended(harness, seq, kv_head, inv_freq);
    }
    Expected expected;
    for (int i = 0; i < spec.q_len; ++i) {
      for (int head = 0; head < op_.num_heads; ++head) {
        const Expected part = expected_head(harness, seq, i, head, inv_freq);
        expected.values.insert(expected.values.end(), part.values.begin(), part.values.end());
        expected.bounds.insert(expected.bounds.end(), part.bounds.begin(), part.bounds.end());
      }
    }
    expect_close(rows, expected, static_cast<std::size_t>(row_elements), dtype(),
                 {.float32 = 1e-10, .float16 = 2e-7, .bfloat16 = 1e-5});
  }

  /// What query head `head` of the sequence's `i`-th new token must give, from the cache as it is.
  Expected expected_head(const StepHarness& harness, int seq, int i, int head,
                         const std::vector<float>& inv_freq) const {
    const int own = harness.spec(seq).past + i;
    const int kv_head = head / (op_.num_heads / op_.num_kv_heads);
    std::vector<std::vector<float>> keys, values;
    for (int slot = op_.window > 0 ? std::max(0, own - op_.window + 1) : 0; slot <= own; ++slot) {
      keys.push_back(harness.read_key(op_.layer, seq, kv_head, slot));
      values.push_back(harness.read_value(op_.layer, seq, kv_head, slot));
    }
    const auto query = reference_head(op_, head_of(harness.first_row(seq) + i, head), q_norm_,
                                      inv_freq, own, true, dtype());
    return reference_attention(op_, query, keys, values, dtype());
  }

  /// The new keys, normed and rotated, and values stand in their slots; nothing after them.
  void check_appended(const StepHarness& harness, int seq, int kv_head,
                      const std::vector<float>& inv_freq) const {
    const SequenceSpec& spec = harness.spec(seq);
    for (int i = 0; i < spec.q_len; ++i) {
      const int slot = spec.past + i;
      const int row = harness.first_row(seq) + i;
      const auto key = reference_head(op_, head_of(row, op_.num_heads + kv_head), k_norm_, inv_freq,
                                      slot, false, dtype());
      const auto stored = harness.read_key(op_.layer, seq, kv_head, slot);
      double length = 0.0;
      for (const double x : key) length += x * x;
      for (std::size_t k = 0; k < key.size(); ++k) {
        EXPECT_NEAR(stored[k], key[k], ulp(dtype(), key[k]) + 8e-7 * std::sqrt(length));
      }
      const auto value = head_of(row, op_.num_heads + op_.num_kv_heads + kv_head);
      const auto stored_value = harness.read_value(op_.layer, seq, kv_head, slot);
      EXPECT_EQ(std::vector<double>(stored_value.begin(), stored_value.end()), value);
    }
    const int end = spec.past + spec.q_len;
    EXPECT_TRUE(std::isnan(harness.read_key(op_.layer, seq, kv_head, end)[0])) << "one too many";
    EXPECT_TRUE(std::isnan(harness.read_key(op_.layer - 1, seq, kv_head, end - 1)[0]) ||
                spec.past >= end)
        << "wrong layer";
  }

  Attention op_;
  std::vector<float> qkv_, q_norm_, k_norm_;
};

Rope rope_of(RopeType type, int rotary_dim) {
  Rope rope;
  rope.type = type;
  rope.rotary_dim = rotary_dim;
  rope.factor = 4.0;
  rope.original_max_position = 16;
  rope.attention_factor = type == RopeType::yarn ? 1.1386 : 1.0;
  return rope;
}

TEST_P(AttentionConformance, BlockEdges) {
  for (const int past : {0, 1, 2, 3, 4, 5, 7, 8}) {
    check({.seqs = {{.past = past, .decode = true}}});
    check({.seqs = {{.q_len = 3, .past = past}}});
  }
  for (const int q_len : {1, 3, 4, 5, 31, 32, 33, 65}) check({.seqs = {{.q_len = q_len}}});
}

TEST_P(AttentionConformance, GroupedQueries) {
  for (const auto& [heads, kv_heads] :
       {std::pair{4, 4}, std::pair{4, 1}, std::pair{8, 1}, std::pair{8, 2}, std::pair{3, 1}}) {
    check({.seqs = {{.past = 6, .decode = true}, {.q_len = 19, .past = 5}},
           .num_heads = heads,
           .num_kv_heads = kv_heads});
  }
  check({.seqs = {{.q_len = 3, .past = 5}}, .num_heads = 40, .num_kv_heads = 1});
}

TEST_P(AttentionConformance, HeadSizes) {
  for (const int head_dim : {1, 2, 7, 24, 64, 80, 128}) {
    check({.seqs = {{.past = 6, .decode = true}, {.q_len = 11}}, .head_dim = head_dim});
  }
}

TEST_P(AttentionConformance, HeadSizesOfLargeModels) {
  // Long enough that a kernel that splits slots or tiles rows has several of each.
  const std::vector<SequenceSpec> seqs = {
      {.past = 290, .decode = true},
      {.past = 140, .decode = true, .status = SequenceStatus::limit},
      {.past = 127, .decode = true},
      {.q_len = 33, .past = 95},
      {.q_len = 3, .status = SequenceStatus::stop},
      {.q_len = 66}};
  for (const int head_dim : {32, 64, 80, 96, 128, 256}) {
    SCOPED_TRACE(::testing::Message() << "head_dim " << head_dim);
    check({.seqs = seqs,
           .num_heads = 4,
           .num_kv_heads = 2,
           .head_dim = head_dim,
           .block_size = 16,
           .rope = rope_of(RopeType::standard, head_dim),
           .qk_norm = true});
    check({.seqs = seqs,
           .num_heads = 7,
           .num_kv_heads = 1,
           .head_dim = head_dim,
           .block_size = 32,
           .window = 50,
           .softcap = 5.0f});
  }
}

TEST_P(AttentionConformance, MixedBatchWithFinishedSequences) {
  check({.seqs = {{.past = 9, .decode = true},
                  {.past = 4, .decode = true, .status = SequenceStatus::stop},
                  {.past = 0, .decode = true},
                  {.q_len = 6, .status = SequenceStatus::limit},
                  {.q_len = 1},
                  {.q_len = 0, .past = 2},
                  {.q_len = 37, .past = 3}},
         .num_heads = 6,
         .num_kv_heads = 2,
         .rope = rope_of(RopeType::standard, 16)});
}

TEST_P(AttentionConformance, LongContext) {
  check({.seqs = {{.past = 1500, .decode = true}, {.q_len = 40, .past = 700}},
         .num_heads = 2,
         .num_kv_heads = 1,
         .head_dim = 32,
         .block_size = 32});
}

TEST_P(AttentionConformance, VeryLongContext) {
  check({.seqs = {{.past = 20000, .decode = true}},
         .num_heads = 1,
         .num_kv_heads = 1,
         .head_dim = 64,
         .block_size = 32});
}

TEST_P(AttentionConformance, ContiguousCache) {
  check({.seqs = {{.past = 300, .decode = true}, {.q_len = 50, .past = 290}}, .block_size = 512});
}

TEST_P(AttentionConformance, Windows) {
  for (const int window : {1, 2, 5, 16, 40}) {
    check({.seqs = {{.past = 20, .decode = true}, {.q_len = 36, .past = 6}},
           .num_heads = 4,
           .num_kv_heads = 2,
           .window = window});
  }
}

TEST_P(AttentionConformance, SoftcapLognAndNorms) {
  const std::vector<SequenceSpec> seqs = {{.past = 20, .decode = true}, {.q_len = 18, .past = 3}};
  check({.seqs = seqs, .softcap = 2.0f, .magnitude = 3.0f});
  check({.seqs = seqs, .logn_length = 8});
  check({.seqs = seqs, .rope = rope_of(RopeType::standard, 16), .qk_norm = true});
  check({.seqs = seqs, .rope = rope_of(RopeType::standard, 16), .logn_length = 4});
}

TEST_P(AttentionConformance, EveryRope) {
  const std::vector<SequenceSpec> seqs = {{.past = 30, .decode = true},
                                          {.past = 5, .decode = true},
                                          {.q_len = 12, .past = 0},
                                          {.q_len = 9, .past = 17}};
  for (const RopeType type : {RopeType::standard, RopeType::linear, RopeType::dynamic,
                              RopeType::llama3, RopeType::yarn, RopeType::qwen_ntk}) {
    SCOPED_TRACE(::testing::Message() << "rope type " << static_cast<int>(type));
    check({.seqs = seqs, .rope = rope_of(type, 16)});
    check({.seqs = seqs, .rope = rope_of(type, 8)});
  }
}

TEST_P(AttentionConformance, RopeOfAPartOfTheHead) {
  for (const int rotary_dim : {16, 32, 64}) {
    const Case c{.seqs = {{.past = 30, .decode = true}, {.q_len = 9, .past = 17}},
                 .num_heads = 4,
                 .head_dim = 64,
                 .rope = rope_of(RopeType::standard, rotary_dim)};
    check(c);
    Case normed = c;
    normed.qk_norm = true;
    check(normed);
  }
}

TEST_P(AttentionConformance, LargeAngles) {
  // As at positions beyond 100000.
  Rope rope = rope_of(RopeType::linear, 16);
  rope.factor = 1.0 / 64.0;
  check({.seqs = {{.past = 2000, .decode = true}, {.q_len = 3, .past = 1900}},
         .block_size = 32,
         .rope = rope,
         .window = 4});
}

TEST_P(AttentionConformance, RopeAlphaOfTheState) {
  for (const RopeType type : {RopeType::dynamic, RopeType::qwen_ntk}) {
    check({.seqs = {{.past = 30, .decode = true, .rope_alpha = 3.0f},
                    {.past = 5, .decode = true, .rope_alpha = 7.0f},
                    {.q_len = 5, .past = 2, .rope_alpha = 1.0f}},
           .rope = rope_of(type, 16)});
  }
}

TEST_P(AttentionConformance, SharpScores) {
  check({.seqs = {{.past = 20, .decode = true}, {.q_len = 36, .past = 6}}, .magnitude = 8.0f});
}

TEST_P(AttentionConformance, NoSequences) { check({.seqs = {}}); }

TEST_P(AttentionConformance, InfiniteValueStaysInvisibleToEarlierTokens) {
  for (const int head_dim : {8, 64}) {
    SCOPED_TRACE(::testing::Message() << "head_dim " << head_dim);
    const auto size = static_cast<std::size_t>(head_dim);
    StepHarness harness(*backend_, dtype(), {{.q_len = 20}});
    harness.add_kv_cache(1, 1, head_dim);
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
      EXPECT_EQ(std::isfinite(out[row * size]), row < 12) << "token " << row;
      EXPECT_TRUE(std::isfinite(out[row * size + 1])) << "token " << row;
    }
  }
}

QUERN_INSTANTIATE_TYPED(AttentionConformance);

}  // namespace
}  // namespace quern::testing
