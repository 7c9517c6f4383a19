#include "backend/cpu/cpu_backend.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <span>
#include <thread>
#include <vector>

#include "backend/cpu/parallel.h"
#include "backend/workspace.h"
#include "base/error.h"
#include "base/half.h"
#include "tests/backend/conformance/step_harness.h"
#include "tests/backend/conformance/weight_source.h"
#include "tests/support/expect_error.h"

namespace quern {
namespace {

using testing::random_floats;

TEST(CpuBackend, SaysWhatItIs) {
  const auto backend = make_cpu_backend();
  EXPECT_EQ(backend->name(), "cpu");
  EXPECT_EQ(backend->device().kind, DeviceKind::cpu);
}

TEST(CpuBackend, RefusesNegativeThreads) {
  EXPECT_QUERN_ERROR(ErrorCode::invalid_argument, ({"threads", "-2"}), make_cpu_backend(-2));
}

TEST(CpuBackend, MeasuresWhatItReachesInEveryDtype) {
  const auto backend = make_cpu_backend(1);
  EXPECT_GT(backend->measure_read_gbps(), 0.1);
  for (const DType dtype : {DType::float32, DType::float16, DType::bfloat16}) {
    const double tflops = backend->measure_product_tflops(dtype);
    EXPECT_GT(tflops, 1e-4) << dtype_name(dtype) << ": a tenth of a GFLOP/s is no machine";
    EXPECT_LT(tflops, 10) << dtype_name(dtype) << ": nor does one core do that";
  }
}

TEST(CpuBackend, ReplaysARecordingSoManyTimes) {
  // An Advance of one decode sequence by one token.
  std::int32_t zero = 0;
  std::int32_t kv_len = 10;
  std::int32_t position = 10;
  std::int32_t cu_seqlens_q[] = {0, 1};
  Step step;
  step.batch.num_tokens = step.batch.num_seqs = step.batch.num_decode_seqs = 1;
  step.batch.state_index = &zero;
  step.batch.cu_seqlens_q = cu_seqlens_q;
  step.state.finished = &zero;
  step.state.kv_len = &kv_len;
  step.state.position = &position;
  const std::vector<Node> nodes = {{Advance{}, "advance"}};

  const auto backend = make_cpu_backend(1);
  const auto recording = backend->record(nodes, step);
  step.batch = {};  // the recording has a copy
  EXPECT_EQ(kv_len, 10) << "recording runs nothing";
  recording->replay(3);
  recording->replay(0);
  recording->replay(1);
  EXPECT_EQ(kv_len, 14);
  EXPECT_EQ(backend->recording_bytes(nodes, RecordedLoop::host), 0u);
  EXPECT_QUERN_ERROR(ErrorCode::unsupported, ({"no loop"}),
                     backend->record(nodes, step, RecordedLoop::device));
}

TEST(CpuBackend, AllocatesZeroedMemoryAndCopies) {
  const auto backend = make_cpu_backend(1);
  const Buffer buffer = backend->allocate(64, "test");
  EXPECT_TRUE(std::all_of(buffer.bytes().begin(), buffer.bytes().end(),
                          [](std::byte b) { return b == std::byte{0}; }));
  const std::vector<int> in = {1, 2, 3};
  std::vector<int> out(3);
  backend->copy_in(buffer.data(), in.data(), 12);
  backend->copy_out(out.data(), buffer.data(), 12);
  EXPECT_EQ(out, in);
  backend->copy_in(nullptr, nullptr, 0);
  backend->copy_out(nullptr, nullptr, 0);
}

TEST(CpuBackend, PreparesFloatWeightsRowMajorAndRefusesOthers) {
  const auto backend = make_cpu_backend(1);
  for (const DType stored : {DType::float32, DType::float16, DType::bfloat16}) {
    for (const WeightUse use : {WeightUse::matrix, WeightUse::embedding}) {
      EXPECT_EQ(backend->prepare({.stored = stored}, use), WeightLayout::row_major);
    }
  }
  EXPECT_EQ(backend->prepare({}, WeightUse::vector), WeightLayout::row_major);
  EXPECT_QUERN_ERROR(ErrorCode::unsupported, ({"a weight of uint8", "expected float32"}),
                     backend->prepare({.stored = DType::uint8}, WeightUse::matrix));
  EXPECT_QUERN_ERROR(ErrorCode::unsupported, ({"a vector of float16", "expected float32"}),
                     backend->prepare({.stored = DType::float16}, WeightUse::vector));
  // Uploads without prepare() are refused before anything is read.
  EXPECT_QUERN_ERROR(
      ErrorCode::unsupported, ({"a vector of float16"}),
      backend->upload(testing::source_of(WeightUse::vector, DType::float16, 1, 2, {1.0f, 2.0f}),
                      WeightLayout::row_major, nullptr));
}

TEST(CpuBackend, UploadsWeightsOfManyBands) {
  const auto backend = make_cpu_backend(3);
  constexpr std::int64_t kRows = 1001;
  constexpr std::int64_t kCols = 1000;
  std::vector<float> content(kRows * kCols);
  for (std::size_t i = 0; i < content.size(); ++i) content[i] = static_cast<float>(i);
  std::vector<float> packed(content.size());
  auto* destination = reinterpret_cast<std::byte*>(packed.data());
  const Weight weight =
      backend->upload(testing::source_of(WeightUse::matrix, DType::float32, kRows, kCols, content),
                      WeightLayout::row_major, destination);
  EXPECT_TRUE(packed == content);
  EXPECT_EQ(weight.values.data, destination);
  EXPECT_EQ(weight.values.row_stride, kCols);
}

/// Results of a layer must not depend on the number of threads.
TEST(CpuBackend, ThreadsDoNotChangeABit) {
  const auto run = [](int threads, int rows) {
    const auto backend = make_cpu_backend(threads);
    testing::StepHarness harness(*backend, DType::float16,
                                 {{.past = 30, .decode = true}, {.q_len = rows}}, 16);
    const int tokens = harness.num_tokens();
    NormLinear norm_linear{};
    norm_linear.residual = harness.add_value(DType::float32, 192, random_floats(tokens * 192, 1));
    norm_linear.out = harness.add_value(DType::float16, 5 * 64);
    norm_linear.gain = harness.add_vector(random_floats(192, 2));
    norm_linear.epsilon = 1e-5f;
    norm_linear.weight = harness.add_weight(WeightUse::matrix, DType::float16, 5 * 64, 192,
                                            random_floats(5 * 64 * 192, 3));
    harness.run(norm_linear);
    harness.add_kv_cache(1, 1, 64);
    Attention attention{};
    attention.qkv = norm_linear.out;
    attention.out = harness.add_value(DType::float16, 3 * 64);
    attention.num_heads = 3;
    attention.num_kv_heads = 1;
    attention.head_dim = 64;
    attention.scale = 0.125f;
    harness.run(attention);
    Linear linear{};
    linear.in = attention.out;
    linear.out = harness.add_value(DType::float16, 192);
    linear.weight = harness.add_weight(WeightUse::matrix, DType::float32, 192, 192,
                                       random_floats(192 * 192, 4));
    harness.run(linear);
    return harness.read(linear.out);
  };
  for (const int rows : {1, 6, 150, 300}) {
    const auto one = run(1, rows);
    EXPECT_EQ(run(2, rows), one) << rows;
    EXPECT_EQ(run(5, rows), one) << rows;
  }
}

/// Attention over the tokens from `past` on of a sequence of 75; earlier ones are in the cache.
class ChunkedAttention {
 public:
  ChunkedAttention(Backend& backend, DType dtype, int window, int past, int q_len)
      : harness(backend, dtype, {{.q_len = q_len, .past = past}}, 16) {
    harness.add_kv_cache(1, 2, 64);
    constexpr int kCols = (4 + 2 * 2) * 64;
    const auto all = random_floats(75 * kCols, 9);
    op.qkv = harness.add_value(dtype, kCols,
                               {all.begin() + past * kCols, all.begin() + (past + q_len) * kCols});
    op.out = harness.add_value(dtype, 4 * 64);
    op.num_heads = 4;
    op.num_kv_heads = 2;
    op.head_dim = 64;
    op.scale = 0.125f;
    op.window = window;
  }

  testing::StepHarness harness;
  Attention op{};
};

/// A row's products do not depend on the other rows; see docs/adr/0007.
TEST(CpuBackend, ChunksOfAPromptGiveTheSameBits) {
  const auto backend = make_cpu_backend(2);
  for (const DType dtype : {DType::float32, DType::bfloat16}) {
    for (const int window : {0, 3, 20, 50}) {
      ChunkedAttention whole(*backend, dtype, window, 0, 75);
      whole.harness.run(whole.op);
      const auto expected = whole.harness.read(whole.op.out);
      for (const int past : {1, 13, 40, 74}) {
        ChunkedAttention chunk(*backend, dtype, window, past, 75 - past);
        chunk.harness.copy_past_from(whole.harness);
        chunk.harness.run(chunk.op);
        EXPECT_TRUE(std::ranges::equal(chunk.harness.read(chunk.op.out),
                                       std::span(expected).subspan(past * 4 * 64)))
            << dtype_name(dtype) << ", window " << window << ", from " << past;
      }
    }
  }
}

TEST(Parallel, WorkThatIsNotWorthWakingStaysWithTheCaller) {
  ThreadPool pool(3);
  for (const std::int64_t multiply_adds : {std::int64_t{100}, std::int64_t{1} << 40}) {
    std::vector<std::atomic<int>> visits(100);
    std::atomic<bool> alone = true;
    std::atomic<int> arrived = 0;
    cpu::parallel_for(pool, multiply_adds, 100, [&](std::int64_t i, int thread) {
      ++visits[static_cast<std::size_t>(i)];
      if (thread != 0) alone = false;
      ++arrived;
      while (multiply_adds > 100 && arrived < 2) std::this_thread::yield();  // for another thread
    });
    for (const auto& count : visits) EXPECT_EQ(count, 1);
    EXPECT_EQ(alone, multiply_adds == 100);
  }
}

TEST(Workspace, PlansWhatItCarves) {
  const auto lay_out = [](Workspace& workspace) {
    return std::pair{workspace.take<float>(3), workspace.take<std::int32_t>(20)};
  };
  Workspace plan;
  EXPECT_EQ(lay_out(plan).first, nullptr);
  EXPECT_EQ(plan.used_bytes(), 256u + 256u);

  const Buffer buffer = allocate_host(plan.used_bytes(), "test");
  Workspace workspace(buffer.bytes());
  const auto [floats, ints] = lay_out(workspace);
  EXPECT_EQ(reinterpret_cast<std::byte*>(floats), buffer.data());
  EXPECT_EQ(reinterpret_cast<std::byte*>(ints), buffer.data() + 256);
  EXPECT_QUERN_ERROR(ErrorCode::internal, ({"512", "768"}), workspace.take<float>(1));
}

}  // namespace
}  // namespace quern
