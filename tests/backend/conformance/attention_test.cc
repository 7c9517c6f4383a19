#include "tests/backend/conformance/attention_checks.h"

namespace quern::testing {
namespace {

class AttentionConformance : public AttentionChecks {};

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
  // Long enough for several KV splits and several tiles.
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
    const AttentionCase c{.seqs = {{.past = 30, .decode = true}, {.q_len = 9, .past = 17}},
                          .num_heads = 4,
                          .head_dim = 64,
                          .rope = rope_of(RopeType::standard, rotary_dim)};
    check(c);
    AttentionCase normed = c;
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
