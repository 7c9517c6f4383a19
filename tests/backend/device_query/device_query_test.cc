#include "backend/cuda/device_query.h"

#include <gtest/gtest.h>

#include "backend/cuda/dynamic_library.h"

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

}  // namespace
}  // namespace quern
