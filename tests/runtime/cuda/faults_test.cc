// Failures are reported, leak nothing, and do not prevent another attempt.
#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/stream/allocation_fault.h"
#include "tests/runtime/cuda/gpu_engine.h"

namespace quern::testing {
namespace {

class FaultsTest : public GpuEngineTest {
 protected:
  static std::uint64_t free_bytes() { return make_cuda_backend()->available_bytes(); }
  static EngineOptions small() {
    EngineOptions options;
    options.max_seqs = 2;
    options.max_seq_len = 128;
    return options;
  }
};

TEST_F(FaultsTest, EveryAllocationMayFailAndNothingLeaks) {
  load(small()).generate(greedy("Once", 3));  // lazily loaded kernels stay in memory
  const std::uint64_t free_before = free_bytes();
  int nth = 1;
  for (bool failed = true; failed; ++nth) {
    const cuda::AllocationFault fault(nth);
    failed = false;
    try {
      load(small()).generate(greedy("Once", 3));
    } catch (const Error& error) {
      failed = true;
      EXPECT_EQ(error.code(), ErrorCode::out_of_memory) << error.what();
      EXPECT_NE(std::string(error.what()).find("bytes"), std::string::npos) << error.what();
    }
    EXPECT_EQ(failed, fault.happened()) << nth;
    ASSERT_LT(nth, 100);
  }
  EXPECT_GT(nth, 6) << "weights, KV cache, activations, step inputs, ring, staging at the least";
  EXPECT_EQ(free_bytes(), free_before);
}

TEST_F(FaultsTest, EnginesComeAndGoWithoutLeaking) {
  const auto use = [](DeviceLoopChoice choice) {
    EngineOptions options = small();
    options.device_loop = choice;
    load(options).generate(greedy("Once upon a time", 40));
  };
  use(DeviceLoopChoice::off);
  use(DeviceLoopChoice::require);
  const std::uint64_t free_before = free_bytes();
  for (int i = 0; i < 4; ++i) {
    use(DeviceLoopChoice::off);
    use(DeviceLoopChoice::require);
  }
  EXPECT_EQ(free_bytes(), free_before);
}

/// Lets a kernel read an invalid address.
void read_nowhere(Backend& backend) {
  Step step;
  step.batch.num_tokens = 1;
  step.batch.num_seqs = 1;
  Tensor out;
  out.data = reinterpret_cast<std::byte*>(0x100);
  out.rows = 1;
  out.cols = out.row_stride = 64;
  out.device = backend.device();
  const Weight table = row_major_weight({}, {8, 64}, out.data, out.device);
  step.values = {&out, 1};
  step.weights = {&table, 1};
  backend.run(Embed{ValueId{0}, WeightId{0}, std::nullopt}, step);
  backend.wait();
}

// CUDA documents that only a new process helps after such an error; cudaDeviceReset was tried and
// leaves a device that is "busy or unavailable". So: clear errors, no crash.
TEST_F(FaultsTest, AfterAnIllegalAddressEverythingSaysThatTheProcessIsLost) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto expect_lost = [](const auto& body) {
    try {
      body();
    } catch (const Error& error) {
      const std::string message = error.what();
      if (message.find("must be restarted") != std::string::npos) return;
      std::fprintf(stderr, "unexpected: %s\n", error.what());
      std::exit(3);
    }
    std::exit(2);
  };
  const auto body = [&] {
    auto backend = make_cuda_backend();
    expect_lost([&] { read_nowhere(*backend); });
    expect_lost([&] { backend->wait(); });
    backend.reset();
    expect_lost([&] { make_cuda_backend(); });
    expect_lost([&] { load(); });
    std::exit(0);
  };
  EXPECT_EXIT(body(), ::testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace quern::testing
