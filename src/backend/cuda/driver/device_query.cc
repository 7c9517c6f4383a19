#include "backend/cuda/driver/device_query.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <string>
#include <vector>

#include "backend/cuda/driver/dynamic_library.h"
#include "base/error.h"

#ifdef QUERN_WITH_CUDA
#include <cuda.h>
#if __has_include(<cublas_api.h>)
#include <cublas_api.h>
#endif
#endif

namespace quern {
namespace {

// The driver's and NVML's ABIs are stable: the few constants used here are from cuda.h
// (CUdevice_attribute) and nvml.h (nvmlClockType_t), which are then not needed for the build.
constexpr int kMultiprocessorCount = 16;
constexpr int kComputeCapabilityMajor = 75;
constexpr int kComputeCapabilityMinor = 76;
constexpr int kSmClock = 1;
constexpr int kMemoryClock = 2;
constexpr int kTextBytes = 128;
constexpr int kMinComputeCapability = 8;
constexpr const char* kNoDriver = "no NVIDIA driver";

using Text = std::array<char, kTextBytes>;

std::string cuda_version_text(int version) {
  return fmt::format("{}.{}", version / 1000, version % 1000 / 10);
}

void describe_build(CudaEnvironment& found) {
#ifdef QUERN_WITH_CUDA
  found.built_with_cuda = true;
  found.toolkit_version = cuda_version_text(CUDA_VERSION);
#ifdef CUBLAS_VER_MAJOR
  found.cublas_version = fmt::format("{}.{}.{}.{}", CUBLAS_VER_MAJOR, CUBLAS_VER_MINOR,
                                     CUBLAS_VER_PATCH, CUBLAS_VER_BUILD);
#endif
#else
  static_cast<void>(found);
#endif
}

/// Clocks, ECC and power limit of the GPUs, where NVML is installed.
class Nvml {
 public:
  Nvml() { ready_ = call<int()>("nvmlInit_v2"); }
  Nvml(const Nvml&) = delete;
  Nvml& operator=(const Nvml&) = delete;
  ~Nvml() {
    if (ready_) call<int()>("nvmlShutdown");
  }

  std::string driver_version() const {
    Text text{};
    return call<int(char*, unsigned)>("nvmlSystemGetDriverVersion", text.data(), kTextBytes)
               ? text.data()
               : "";
  }

  void describe(const char* pci_bus_id, Gpu& gpu) const {
    void* device = nullptr;
    if (!call<int(const char*, void**)>("nvmlDeviceGetHandleByPciBusId_v2", pci_bus_id, &device)) {
      return;
    }
    gpu.sm_clock_mhz = clock("nvmlDeviceGetClockInfo", device, kSmClock);
    gpu.max_sm_clock_mhz = clock("nvmlDeviceGetMaxClockInfo", device, kSmClock);
    gpu.memory_clock_mhz = clock("nvmlDeviceGetClockInfo", device, kMemoryClock);
    gpu.max_memory_clock_mhz = clock("nvmlDeviceGetMaxClockInfo", device, kMemoryClock);
    int current = 0;
    int pending = 0;
    if (call<int(void*, int*, int*)>("nvmlDeviceGetEccMode", device, &current, &pending)) {
      gpu.ecc = current != 0;
    }
    unsigned milliwatts = 0;
    if (call<int(void*, unsigned*)>("nvmlDeviceGetEnforcedPowerLimit", device, &milliwatts)) {
      gpu.power_limit_watts = milliwatts / 1000.0;
    }
  }

 private:
  /// True when NVML has the function and it succeeds.
  template <typename Function, typename... Args>
  bool call(const char* name, Args... args) const {
    const auto function = library_.function<Function>(name);
    return function != nullptr && function(args...) == 0;
  }

  std::optional<unsigned> clock(const char* name, void* device, int which) const {
    unsigned mhz = 0;
    if (!call<int(void*, int, unsigned*)>(name, device, which, &mhz)) return std::nullopt;
    return mhz;
  }

  DynamicLibrary library_{"libnvidia-ml.so.1"};
  bool ready_ = false;
};

/// Queries of the CUDA driver. After the first failure every call does nothing, and error() has the
/// reason.
class Driver {
 public:
  Driver() {
    if (!library_.error().empty()) {
      error_ = fmt::format("{}: {}", kNoDriver, library_.error());
    }
    call<int(int*)>("cuDriverGetVersion", &cuda_version_);
    call<int(unsigned)>("cuInit", 0U);
  }

  const std::string& error() const { return error_; }

  std::string cuda_version() const {
    return cuda_version_ != 0 ? cuda_version_text(cuda_version_) : "";
  }

  int num_devices() {
    int count = 0;
    call<int(int*)>("cuDeviceGetCount", &count);
    return count;
  }

  /// `nvml` may be null.
  Gpu describe(int index, const Nvml* nvml) {
    Gpu gpu;
    gpu.index = index;
    int device = 0;
    call<int(int*, int)>("cuDeviceGet", &device, index);
    Text text{};
    call<int(char*, int, int)>("cuDeviceGetName", text.data(), kTextBytes, device);
    gpu.name = text.data();
    gpu.compute_capability_major = attribute(kComputeCapabilityMajor, device);
    gpu.compute_capability_minor = attribute(kComputeCapabilityMinor, device);
    gpu.num_multiprocessors = attribute(kMultiprocessorCount, device);
    std::size_t memory_bytes = 0;
    call<int(std::size_t*, int)>("cuDeviceTotalMem_v2", &memory_bytes, device);
    gpu.memory_bytes = memory_bytes;
    call<int(char*, int, int)>("cuDeviceGetPCIBusId", text.data(), kTextBytes, device);
    if (nvml != nullptr) nvml->describe(text.data(), gpu);
    return gpu;
  }

 private:
  template <typename Function, typename... Args>
  void call(const char* name, Args... args) {
    if (!error_.empty()) return;
    const auto function = library_.function<Function>(name);
    if (function == nullptr) {
      error_ = fmt::format("the NVIDIA driver lacks {}", name);
    } else if (const int status = function(args...); status != 0) {
      error_ = fmt::format("{} failed: {}", name, status_text(status));
    }
  }

  std::string status_text(int status) const {
    const char* text = nullptr;
    const auto get_error_string = library_.function<int(int, const char**)>("cuGetErrorString");
    if (get_error_string == nullptr || get_error_string(status, &text) != 0 || text == nullptr) {
      return fmt::format("error {}", status);
    }
    return fmt::format("{} (error {})", text, status);
  }

  int attribute(int which, int device) {
    int value = 0;
    call<int(int*, int, int)>("cuDeviceGetAttribute", &value, which, device);
    return value;
  }

  DynamicLibrary library_{"libcuda.so.1"};
  int cuda_version_ = 0;
  std::string error_;
};

CudaEnvironment query(const Nvml* nvml) {
  CudaEnvironment found;
  describe_build(found);
  if (nvml != nullptr) found.driver_version = nvml->driver_version();
  Driver driver;
  found.driver_cuda_version = driver.cuda_version();
  const int num_devices = driver.num_devices();
  for (int index = 0; index < num_devices; ++index) {
    found.gpus.push_back(driver.describe(index, nvml));
  }
  found.unavailable_reason = driver.error();
  if (found.unavailable_reason.empty() && found.gpus.empty()) {
    found.unavailable_reason = "the NVIDIA driver sees no GPU";
  }
  return found;
}

bool is_usable(const Gpu& gpu) { return gpu.compute_capability_major >= kMinComputeCapability; }

/// "GPU 0 (NAME) with 7.5", …
std::vector<std::string> descriptions(const std::vector<Gpu>& gpus) {
  std::vector<std::string> all;
  all.reserve(gpus.size());
  for (const Gpu& gpu : gpus) {
    all.push_back(fmt::format("GPU {} ({}) with {}.{}", gpu.index, gpu.name,
                              gpu.compute_capability_major, gpu.compute_capability_minor));
  }
  return all;
}

}  // namespace

CudaEnvironment query_cuda() {
  const Nvml nvml;
  return query(&nvml);
}

CudaEnvironment query_cuda_driver() { return query(nullptr); }

const Gpu& usable_gpu(const CudaEnvironment& environment, std::optional<int> index) {
  if (!environment.unavailable_reason.empty()) {
    fail(ErrorCode::device, "CUDA cannot be used: {}", environment.unavailable_reason);
  }
  const std::vector<Gpu>& gpus = environment.gpus;
  if (!index) {
    const auto first = std::find_if(gpus.begin(), gpus.end(), is_usable);
    if (first != gpus.end()) return *first;
    fail(ErrorCode::unsupported, "expected a GPU of compute capability {}.0 or newer, got {}",
         kMinComputeCapability, fmt::join(descriptions(gpus), ", "));
  }
  if (*index < 0 || *index >= std::ssize(gpus)) {
    fail(ErrorCode::invalid_argument, "GPU index: expected 0 to {}, got {}", gpus.size() - 1,
         *index);
  }
  const Gpu& gpu = gpus[static_cast<std::size_t>(*index)];
  if (!is_usable(gpu)) {
    fail(ErrorCode::unsupported,
         "GPU {} ({}): expected compute capability {}.0 or newer, got {}.{}", *index, gpu.name,
         kMinComputeCapability, gpu.compute_capability_major, gpu.compute_capability_minor);
  }
  return gpu;
}

}  // namespace quern
