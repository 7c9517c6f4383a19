#include <cuda_runtime_api.h>

#include "backend/cuda/ops/ops.h"
#include "backend/cuda/stream/check_cuda.h"
#include "tests/backend/conformance/attention_checks.h"

namespace quern::testing {
namespace {

// Attention as a deterministic engine runs it: decoding with a fixed share of the work, prompts by
// attention_prompt(). Whole engines show that both have the same bits.

constexpr std::size_t kNumCounters = 1024;

class DeterministicAttention : public AttentionChecks {
 protected:
  void run(StepHarness& harness, const Attention& op) override {
    const std::vector<std::uint32_t> zeros(kNumCounters);
    const Buffer counters = backend_->allocate(zeros.size() * sizeof(zeros[0]), "test");
    backend_->copy_in(counters.data(), zeros.data(), counters.size_bytes());
    cuda::OpContext context;
    context.num_multiprocessors = 132;
    context.deterministic = true;
    context.counters = {reinterpret_cast<std::uint32_t*>(counters.data()), kNumCounters};
    harness.run(op, [&](const Step& step) {
      backend_->wait();  // copies in are asynchronous
      cuda::run_attention(op, step, context);
      cuda::check_cuda(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
    });
  }
};

TEST_P(DeterministicAttention, ChunksAndDecodeInOneStep) {
  for (const int head_dim : {16, 64, 80, 96, 128, 256}) {
    for (const auto& [num_heads, num_kv_heads] : {std::pair{3, 3}, {8, 2}, {14, 2}, {11, 1}}) {
      SCOPED_TRACE(::testing::Message()
                   << num_heads << " heads of " << head_dim << ", " << num_kv_heads << " kv heads");
      check({.seqs = {{.past = 290, .decode = true},
                      {.past = 17, .decode = true, .status = SequenceStatus::stop},
                      {.q_len = 37},
                      {.q_len = 21, .past = 250},
                      {.q_len = 9, .past = 3, .status = SequenceStatus::stop},
                      {.q_len = 1, .past = 600}},
             .num_heads = num_heads,
             .num_kv_heads = num_kv_heads,
             .head_dim = head_dim,
             .block_size = 16,
             .rope = rope_of(RopeType::standard, head_dim),
             .qk_norm = true});
    }
  }
}

TEST_P(DeterministicAttention, WindowsAndSoftcaps) {
  for (const int window : {1, 20, 300}) {
    check({.seqs = {{.past = 700, .decode = true}, {.q_len = 30, .past = 680}, {.q_len = 40}},
           .num_heads = 8,
           .num_kv_heads = 4,
           .head_dim = 64,
           .block_size = 32,
           .window = window});
  }
  check({.seqs = {{.past = 40, .decode = true}, {.q_len = 30, .past = 280}},
         .num_heads = 4,
         .num_kv_heads = 4,
         .head_dim = 32,
         .block_size = 32,
         .softcap = 5.0f});
}

INSTANTIATE_TEST_SUITE_P(Gpu, DeterministicAttention,
                         ::testing::Combine(::testing::ValuesIn(backends_under_test()),
                                            ::testing::Values(DType::float32, DType::float16,
                                                              DType::bfloat16)),
                         typed_test_name);

}  // namespace
}  // namespace quern::testing
