// No public call changes the caller's CUDA device and context.
#include <functional>
#include <thread>
#include <utility>

#include "backend/cuda/driver/dynamic_library.h"
#include "quern/benchmark.h"
#include "tests/runtime/cuda/gpu_engine.h"

namespace quern {
namespace {

using Context = void*;  // CUcontext

/// Calls a function of the driver, which must succeed.
template <typename... Args>
void call(const char* name, Args... args) {
  static const DynamicLibrary driver("libcuda.so.1");
  const auto function = driver.function<int(Args...)>(name);
  ASSERT_NE(function, nullptr) << name;
  ASSERT_EQ(function(args...), 0) << name;
}

/// The calling thread's context, which determines its device; null when it has none.
Context current_context() {
  Context context = nullptr;
  call("cuCtxGetCurrent", &context);
  return context;
}

/// Makes the GPU the calling thread's device, as cudaSetDevice does; returns its context.
Context set_device(int index) {
  int device = 0;
  Context context = nullptr;
  call("cuDeviceGet", &device, index);
  call("cuDevicePrimaryCtxRetain", &context, device);
  call("cuCtxSetCurrent", context);
  return context;
}

class CurrentDeviceTest : public testing::GpuEngineTest {
 protected:
  /// Calls everything that may use the GPU, with `unchanged` after each call.
  static void use_engine(int device_index, const std::function<void(const char*)>& unchanged) {
    EngineOptions options;
    options.device_index = device_index;
    {
      Engine engine = load(options);
      unchanged("load");
      EXPECT_EQ(engine.generate(endless("Once upon a time", 20)).output_ids.size(), 20u);
      unchanged("generate");
      const std::vector<std::int32_t> ids = {1, 2, 3};
      engine.logits(ids);
      unchanged("logits");
      EXPECT_GT(engine.timing().peak_memory_bytes, 0u);
      unchanged("timing");
      measure_read_gbps(engine);
      unchanged("measure_read_gbps");
      measure_product_tflops(engine);
      unchanged("measure_product_tflops");
      engine.submit(endless("Once", 200));
      engine.step();
      engine.submit(endless("There", 5));  // asks a running device loop to stop
      unchanged("submit");
      Engine other = load(options);
      other = std::move(engine);
      unchanged("move");
    }
    unchanged("the destructor");
    options.device = DeviceChoice::cuda;
    inspect(testing::demo_model("tale-llama").string(), options);
    unchanged("inspect");
    options.max_seqs = 0;
    EXPECT_THROW(load(options), Error);
    unchanged("a load that fails");
  }
};

TEST_F(CurrentDeviceTest, StaysWhatItWas) {
  std::thread([] {
    const Context context = set_device(0);
    ASSERT_NE(context, nullptr);
    use_engine(0, [&](const char* call) { EXPECT_EQ(current_context(), context) << call; });
  }).join();
}

TEST_F(CurrentDeviceTest, AThreadWithoutAContextHasNoneAfterwards) {
  std::thread([] {
    ASSERT_EQ(current_context(), nullptr);
    use_engine(0, [](const char* call) { EXPECT_EQ(current_context(), nullptr) << call; });
  }).join();
}

TEST_F(CurrentDeviceTest, AnEngineOnAnotherGpuLeavesIt) {
  if (query_cuda().gpus.size() < 2) GTEST_SKIP() << "needs two GPUs";
  for (const int current : {0, 1}) {
    std::thread([current] {
      const Context context = set_device(current);
      ASSERT_NE(context, nullptr);
      use_engine(1 - current,
                 [&](const char* call) { EXPECT_EQ(current_context(), context) << call; });
    }).join();
  }
}

}  // namespace
}  // namespace quern
