#include <cuda_runtime_api.h>

#include <cmath>
#include <limits>

#include "backend/cuda/ops/ops.h"
#include "backend/cuda/ops/rope_tables.h"
#include "backend/cuda/stream/check_cuda.h"
#include "kernels/attention/prefill/attention_prefill_sm90.h"
#include "tests/backend/conformance/attention_checks.h"

namespace quern::testing {
namespace {

// Prefill attention has two kernels, of which the backend uses one: the same cases run with both,
// chosen for tiles of 128 rows and of 64 and 128 slots.

constexpr int kFewMultiprocessors = 3;  // so that a persistent block has several items
constexpr std::size_t kNumCounters = 4096;

class AttentionPrefill : public AttentionChecks {
 protected:
  void run(StepHarness& harness, const Attention& op) override {
    const std::vector<std::uint32_t> zeros(kNumCounters);
    const Buffer counters = backend_->allocate(zeros.size() * sizeof(zeros[0]), "test");
    backend_->copy_in(counters.data(), zeros.data(), counters.size_bytes());
    cuda::OpContext context;
    context.num_multiprocessors = kFewMultiprocessors;
    cuda::RopeTables rope_tables(backend_->device());
    context.rope_tables = &rope_tables;
    context.counters = {reinterpret_cast<std::uint32_t*>(counters.data()), kNumCounters};
    context.sm90_attention = on_sm90_;
    harness.run(op, [&](const Step& step) {
      backend_->wait();  // copies in are asynchronous
      cuda::run_attention(op, step, context);
      cuda::check_cuda(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
    });
  }

  void check_both(const AttentionCase& c) {
    for (const bool on_sm90 : {false, true}) {
      if (on_sm90 && !kernels::has_attention_prefill_sm90()) continue;
      SCOPED_TRACE(on_sm90 ? "attention_prefill_sm90" : "attention_prefill");
      on_sm90_ = on_sm90;
      check(c);
    }
  }

  bool on_sm90_ = false;
};

TEST_P(AttentionPrefill, EdgesOfTiles) {
  for (const int head_dim : {64, 128}) {
    for (const int q_len : {1, 64, 65, 128, 129}) {
      SCOPED_TRACE(::testing::Message() << q_len << " tokens, head_dim " << head_dim);
      check_both({.seqs = {{.q_len = q_len}},
                  .num_heads = 1,
                  .num_kv_heads = 1,
                  .head_dim = head_dim,
                  .block_size = 32});
    }
  }
}

TEST_P(AttentionPrefill, ChunksAfterAPast) {
  for (const int head_dim : {64, 128}) {
    for (const int past : {95, 128}) {
      SCOPED_TRACE(::testing::Message() << "past " << past << ", head_dim " << head_dim);
      check_both({.seqs = {{.q_len = 40, .past = past}},
                  .num_heads = 2,
                  .num_kv_heads = 1,
                  .head_dim = head_dim,
                  .block_size = 32});
    }
  }
}

TEST_P(AttentionPrefill, EveryBlockSize) {
  for (const int block_size : {4, 8, 16, 48, 64, 128, 256}) {
    SCOPED_TRACE(::testing::Message() << "block_size " << block_size);
    check_both({.seqs = {{.q_len = 20, .past = 120}},
                .num_heads = 2,
                .num_kv_heads = 2,
                .head_dim = 128,
                .block_size = block_size});
  }
}

TEST_P(AttentionPrefill, ManySequences) {
  const std::vector<SequenceSpec> seqs = {{.past = 37, .decode = true},
                                          {.q_len = 70, .past = 50},
                                          {.q_len = 1},
                                          {.q_len = 77, .status = SequenceStatus::stop},
                                          {.q_len = 0, .past = 2},
                                          {.q_len = 9, .past = 150},
                                          {.q_len = 32, .past = 32}};
  for (const auto& [heads, kv_heads] : {std::pair{2, 2}, std::pair{7, 1}}) {
    SCOPED_TRACE(::testing::Message() << heads << " heads, " << kv_heads << " kv heads");
    check_both({.seqs = seqs,
                .num_heads = heads,
                .num_kv_heads = kv_heads,
                .head_dim = 128,
                .block_size = 32,
                .rope = rope_of(RopeType::standard, 128),
                .qk_norm = true});
  }
  std::vector<SequenceSpec> many(40, {.q_len = 5, .past = 5});  // more than lanes
  check_both({.seqs = many, .num_heads = 2, .num_kv_heads = 2, .head_dim = 64, .block_size = 32});
}

TEST_P(AttentionPrefill, Windows) {
  for (const int window : {1, 17, 128, 200}) {
    SCOPED_TRACE(::testing::Message() << "window " << window);
    check_both({.seqs = {{.q_len = 40, .past = 230}},
                .num_heads = 4,
                .num_kv_heads = 2,
                .head_dim = 128,
                .block_size = 32,
                .window = window});
  }
}

TEST_P(AttentionPrefill, SoftcapAndSharpScores) {
  const std::vector<SequenceSpec> seqs = {{.q_len = 30, .past = 120}};
  check_both({.seqs = seqs, .head_dim = 128, .block_size = 32, .softcap = 5.0f});
  check_both({.seqs = seqs, .head_dim = 128, .block_size = 32, .magnitude = 5.0f});
}

TEST_P(AttentionPrefill, LongContext) {
  check_both({.seqs = {{.q_len = 5, .past = 3000}},
              .num_heads = 2,
              .num_kv_heads = 1,
              .head_dim = 128,
              .block_size = 32});
}

TEST_P(AttentionPrefill, WhatIsNoNumberStaysInvisibleToEarlierTokens) {
  constexpr int kTokens = 200;
  constexpr int kDim = 128;
  constexpr int kAt = 77;  // its value is infinite, and it is no number 60 tokens later
  auto qkv = rounded(dtype(), random_floats(std::int64_t{kTokens} * 3 * kDim, 1));
  qkv[(kAt * 3 + 2) * kDim] = std::numeric_limits<float>::infinity();
  qkv[((kAt + 60) * 3 + 2) * kDim + 1] = std::numeric_limits<float>::quiet_NaN();
  for (const bool on_sm90 : {false, true}) {
    if (on_sm90 && !kernels::has_attention_prefill_sm90()) continue;
    SCOPED_TRACE(on_sm90 ? "attention_prefill_sm90" : "attention_prefill");
    on_sm90_ = on_sm90;
    StepHarness harness(*backend_, dtype(), {{.q_len = kTokens}}, 32);
    harness.add_kv_cache(1, 1, kDim);
    Attention op{};
    op.qkv = harness.add_value(dtype(), std::int64_t{3} * kDim, qkv);
    op.out = harness.add_value(dtype(), kDim);
    op.num_heads = op.num_kv_heads = 1;
    op.head_dim = kDim;
    op.scale = 0.1f;
    run(harness, op);
    const auto out = harness.read(op.out);
    for (std::size_t row = 0; row < kTokens; ++row) {
      const float* head = &out[row * kDim];
      EXPECT_EQ(std::isfinite(head[0]), row < kAt) << "token " << row;
      EXPECT_EQ(std::isnan(head[1]), row >= kAt + 60) << "token " << row;
      EXPECT_TRUE(std::isfinite(head[2])) << "token " << row;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Conformance, AttentionPrefill,
                         ::testing::Combine(::testing::ValuesIn(backends_under_test()),
                                            ::testing::Values(DType::float16, DType::bfloat16)),
                         typed_test_name);

}  // namespace
}  // namespace quern::testing
