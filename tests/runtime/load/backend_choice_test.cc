#include "runtime/load/backend_choice.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "base/error.h"

namespace quern {
namespace {

/// A machine with GPUs of these compute capabilities, seen from a build with CUDA.
CudaEnvironment machine(const std::vector<std::pair<int, int>>& capabilities) {
  CudaEnvironment found;
  found.built_with_cuda = true;
  for (const auto& [major, minor] : capabilities) {
    Gpu& gpu = found.gpus.emplace_back();
    gpu.index = static_cast<int>(found.gpus.size()) - 1;
    gpu.name = fmt::format("Card {}{}", major, minor);
    gpu.compute_capability_major = major;
    gpu.compute_capability_minor = minor;
  }
  if (found.gpus.empty()) found.unavailable_reason = "no NVIDIA driver";
  return found;
}

void expect_gpu(const AutomaticDevice& chosen, int index) {
  EXPECT_EQ(chosen.device, DeviceChoice::cuda);
  EXPECT_EQ(chosen.index, index);
  EXPECT_EQ(chosen.reason, "");
}

void expect_cpu(const AutomaticDevice& chosen, LogLevel level,
                const std::vector<std::string>& parts) {
  EXPECT_EQ(chosen.device, DeviceChoice::cpu);
  EXPECT_EQ(chosen.index, std::nullopt);
  EXPECT_EQ(chosen.level, level) << chosen.reason;
  for (const std::string& part : parts) {
    EXPECT_NE(chosen.reason.find(part), std::string::npos) << chosen.reason << " lacks " << part;
  }
}

TEST(AutomaticDevice, TakesTheFirstGpuThatIsNewEnough) {
  expect_gpu(automatic_device(machine({{9, 0}}), std::nullopt), 0);
  expect_gpu(automatic_device(machine({{8, 0}, {9, 0}}), std::nullopt), 0);
  expect_gpu(automatic_device(machine({{7, 5}, {6, 1}, {8, 6}, {9, 0}}), std::nullopt), 2);
}

TEST(AutomaticDevice, TakesTheGpuOfTheIndex) {
  expect_gpu(automatic_device(machine({{8, 0}, {9, 0}}), 1), 1);
  expect_gpu(automatic_device(machine({{8, 0}, {9, 0}}), 0), 0);
}

TEST(AutomaticDevice, WarnsOfTheCpuAndSaysWhy) {
  constexpr auto kWarning = LogLevel::warning;
  expect_cpu(automatic_device(machine({}), std::nullopt), kWarning, {"no NVIDIA driver"});
  expect_cpu(automatic_device(machine({{7, 5}}), std::nullopt), kWarning,
             {"GPU 0 (Card 75) with 7.5", "8.0"});
  expect_cpu(automatic_device(machine({{7, 5}, {6, 1}}), std::nullopt), kWarning,
             {"Card 75", "GPU 1 (Card 61) with 6.1"});
  expect_cpu(automatic_device(machine({{9, 0}, {7, 0}}), 1), kWarning, {"GPU 1 (Card 70)", "8.0"});
  expect_cpu(automatic_device(machine({{9, 0}}), 3), kWarning, {"0 to 0", "3"});
}

TEST(AutomaticDevice, ABuildWithoutCudaWarnsOnlyWhereThereIsAGpu) {
  CudaEnvironment found = machine({});
  found.built_with_cuda = false;
  expect_cpu(automatic_device(found, std::nullopt), LogLevel::info, {"without CUDA"});
  found = machine({{9, 0}});
  found.built_with_cuda = false;
  expect_cpu(automatic_device(found, std::nullopt), LogLevel::warning,
             {"without CUDA", "GPU 0 (Card 90)"});
}

TEST(ChooseDevice, TheCpuHasNoIndex) {
  EngineOptions options;
  options.device = DeviceChoice::cpu;
  options.device_index = 1;
  choose_device(options);
  EXPECT_EQ(options.device, DeviceChoice::cpu);
  EXPECT_EQ(options.device_index, std::nullopt);
}

}  // namespace
}  // namespace quern
