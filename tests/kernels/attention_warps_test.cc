#include <cuda_runtime_api.h>

#include "backend/cuda/ops/ops.h"
#include "backend/cuda/ops/rope_tables.h"
#include "backend/cuda/stream/check_cuda.h"
#include "tests/backend/conformance/attention_checks.h"

namespace quern::testing {
namespace {

// Decode attention uses fewer warps per row the more rows a multiprocessor has. With the number of
// multiprocessors set to one, it does so for the few rows of a test.

constexpr int kOneMultiprocessor = 1;
constexpr std::size_t kNumWarpCounters = 1024;

class AttentionWarps : public AttentionChecks {
 protected:
  void run(StepHarness& harness, const Attention& op) override {
    const std::vector<std::uint32_t> zeros(kNumWarpCounters);
    const Buffer counters = backend_->allocate(zeros.size() * sizeof(zeros[0]), "test");
    backend_->copy_in(counters.data(), zeros.data(), counters.size_bytes());
    cuda::OpContext context;
    context.num_multiprocessors = kOneMultiprocessor;
    cuda::RopeTables rope_tables(backend_->device());
    context.rope_tables = &rope_tables;
    context.counters = {reinterpret_cast<std::uint32_t*>(counters.data()), kNumWarpCounters};
    harness.run(op, [&](const Step& step) {
      backend_->wait();  // copies in are asynchronous
      cuda::run_attention(op, step, context);
      cuda::check_cuda(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
    });
  }

  /// Sequences of different lengths, some finished, with `num_kv_heads` rows each: 3, 6, 12 or 24
  /// rows.
  void check_rows(int num_kv_heads) {
    check_rows(num_kv_heads, std::nullopt, std::nullopt);
    check_rows(num_kv_heads, DType::uint8, DType::uint8);
    check_rows(num_kv_heads, DType::float8_e4m3, DType::float8_e4m3);
    check_rows(num_kv_heads, std::nullopt, DType::uint8);
  }

  void check_rows(int num_kv_heads, std::optional<DType> keys, std::optional<DType> values) {
    SCOPED_TRACE(::testing::Message() << "keys of " << dtype_name(keys.value_or(dtype()))
                                      << ", values of " << dtype_name(values.value_or(dtype())));
    for (const int head_dim : {64, 128, 256}) {
      SCOPED_TRACE(::testing::Message() << num_kv_heads << " kv heads of " << head_dim);
      AttentionCase c{.seqs = {{.past = 290, .decode = true},
                               {.past = 17, .decode = true, .status = SequenceStatus::stop},
                               {.past = 37, .decode = true},
                               {.q_len = 5, .past = 3}},
                      .num_heads = num_kv_heads,
                      .num_kv_heads = num_kv_heads,
                      .head_dim = head_dim,
                      .block_size = 16,
                      .rope = rope_of(RopeType::standard, head_dim),
                      .qk_norm = true,
                      .keys = keys,
                      .values = values};
      check(c);
      c.num_heads *= 3;  // fewer queries than a block's capacity
      c.seqs = {
          {.past = 0, .decode = true}, {.past = 63, .decode = true}, {.past = 15, .decode = true}};
      c.window = 20;
      c.rope = std::nullopt;
      check(c);
    }
  }
};

TEST_P(AttentionWarps, FewRows) { check_rows(1); }
TEST_P(AttentionWarps, SomeRows) { check_rows(2); }
TEST_P(AttentionWarps, MoreRows) { check_rows(4); }
TEST_P(AttentionWarps, ManyRows) { check_rows(8); }

TEST_P(AttentionWarps, MoreThanEightQueriesOfAKeyHead) {
  for (const int num_kv_heads : {1, 2, 4}) {
    check({.seqs = {{.past = 45, .decode = true}, {.past = 70, .decode = true}},
           .num_heads = 11 * num_kv_heads,
           .num_kv_heads = num_kv_heads,
           .head_dim = 32,
           .block_size = 32});
  }
}

// A row much longer than the others must not get too few warps, and its KV is not split.
TEST_P(AttentionWarps, LongRowsAmongMany) {
  for (const int past : {511, 600, 1100, 2100}) {
    check({.seqs = {{.past = past, .decode = true}, {.past = 5, .decode = true}},
           .num_heads = 8,
           .num_kv_heads = 8,
           .head_dim = 32,
           .block_size = 32});
  }
}

INSTANTIATE_TEST_SUITE_P(Gpu, AttentionWarps,
                         ::testing::Combine(::testing::ValuesIn(backends_under_test()),
                                            ::testing::Values(DType::float16, DType::bfloat16)),
                         typed_test_name);

}  // namespace
}  // namespace quern::testing
