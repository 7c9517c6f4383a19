#include "backend/cuda/driver/device_query.h"

#include <gtest/gtest.h>

#include <utility>

#include "backend/cuda/driver/dynamic_library.h"
#include "tests/support/expect_error.h"

namespace quern {
namespace {

TEST(DynamicLibrary, FindsFunctions) {
  const DynamicLibrary library("libm.so.6");
  ASSERT_EQ(library.error(), "");
  const auto root = library.function<double(double)>("sqrt");
  ASSERT_NE(root, nullptr);
  EXPECT_EQ(root(9.0), 3.0);
  EXPECT_EQ(library.function<void()>("no_such_function"), nullptr);
}

TEST(DynamicLibrary, SaysWhichLibraryIsMissing) {
  const DynamicLibrary library("libno_such_library.so.1");
  EXPECT_NE(library.error().find("libno_such_library.so.1"), std::string::npos) << library.error();
  EXPECT_EQ(library.function<void()>("sqrt"), nullptr);
}

TEST(DeviceQuery, TellsOfGpusOrWhyThereAreNone) {
  const CudaEnvironment found = query_cuda();
  EXPECT_EQ(found.built_with_cuda, !found.toolkit_version.empty());
  EXPECT_NE(found.gpus.empty(), found.unavailable_reason.empty()) << found.unavailable_reason;
  EXPECT_EQ(found.unavailable_reason.find('\n'), std::string::npos);
  for (std::size_t i = 0; i < found.gpus.size(); ++i) {
    const Gpu& gpu = found.gpus[i];
    EXPECT_EQ(gpu.index, static_cast<int>(i));
    EXPECT_NE(gpu.name, "");
    EXPECT_GE(gpu.compute_capability_major, 1);
    EXPECT_GE(gpu.num_multiprocessors, 1);
    EXPECT_GT(gpu.memory_bytes, std::uint64_t{1} << 28);
  }
}

TEST(DeviceQuery, MayBeAskedAgain) {
  EXPECT_EQ(query_cuda().unavailable_reason, query_cuda().unavailable_reason);
}

TEST(DeviceQuery, TheDriverAloneTellsOfTheSameGpus) {
  const CudaEnvironment all = query_cuda();
  const CudaEnvironment found = query_cuda_driver();
  EXPECT_EQ(found.unavailable_reason, all.unavailable_reason);
  EXPECT_EQ(found.toolkit_version, all.toolkit_version);
  EXPECT_EQ(found.driver_version, "");
  ASSERT_EQ(found.gpus.size(), all.gpus.size());
  for (std::size_t i = 0; i < found.gpus.size(); ++i) {
    EXPECT_EQ(found.gpus[i].name, all.gpus[i].name);
    EXPECT_EQ(found.gpus[i].memory_bytes, all.gpus[i].memory_bytes);
    EXPECT_EQ(found.gpus[i].max_sm_clock_mhz, std::nullopt);
  }
}

CudaEnvironment one_gpu(int major, int minor) {
  CudaEnvironment environment;
  Gpu& gpu = environment.gpus.emplace_back();
  gpu.name = "Old Card";
  gpu.compute_capability_major = major;
  gpu.compute_capability_minor = minor;
  return environment;
}

TEST(UsableGpu, TakesThoseThatKernelsRunOn) {
  for (const auto& [major, minor] : {std::pair{8, 0}, std::pair{8, 6}, std::pair{12, 0}}) {
    const CudaEnvironment environment = one_gpu(major, minor);
    EXPECT_EQ(&usable_gpu(environment, 0), &environment.gpus[0]);
  }
}

TEST(UsableGpu, WithoutAnIndexTakesTheFirstThatIsNewEnough) {
  CudaEnvironment environment = one_gpu(7, 5);
  EXPECT_QUERN_ERROR(ErrorCode::unsupported, ({"8.0", "GPU 0 (Old Card) with 7.5"}),
                     usable_gpu(environment, std::nullopt));
  Gpu newer = environment.gpus.front();
  newer.compute_capability_major = 9;
  environment.gpus.push_back(newer);
  EXPECT_EQ(&usable_gpu(environment, std::nullopt), &environment.gpus[1]);
}

TEST(UsableGpu, SaysWhyNot) {
  const CudaEnvironment old = one_gpu(7, 5);
  EXPECT_QUERN_ERROR(ErrorCode::unsupported, ({"GPU 0", "Old Card", "8.0", "7.5"}),
                     usable_gpu(old, 0));
  EXPECT_QUERN_ERROR(ErrorCode::invalid_argument, ({"0 to 0", "got 1"}), usable_gpu(old, 1));
  EXPECT_QUERN_ERROR(ErrorCode::invalid_argument, ({"got -1"}), usable_gpu(old, -1));
  CudaEnvironment none;
  none.unavailable_reason = "no NVIDIA driver";
  EXPECT_QUERN_ERROR(ErrorCode::device, ({"no NVIDIA driver"}), usable_gpu(none, 0));
}

}  // namespace
}  // namespace quern
