#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <future>
#include <memory>
#include <span>
#include <string>

#include "backend/cuda/driver/dynamic_library.h"
#include "base/dtype.h"

namespace quern::cuda {

/// out = in · Wᵀ; all matrices dense and row-major.
struct MatrixProduct {
  DType dtype = DType::float32;  ///< of `in` and `weight`
  std::int64_t num_rows = 0;
  std::int64_t in_features = 0;
  std::int64_t out_features = 0;
  const void* in = nullptr;
  const void* weight = nullptr;
  DType out_dtype = DType::float32;
  void* out = nullptr;
};

/// cuBLASLt, loaded at run time. Programs start, and steps with few tokens run, without it.
class CublasLt {
 public:
  /// Workspace of multiply().
  static constexpr std::size_t kWorkspaceBytes = std::size_t{32} << 20;

  /// Starts to load the library on another thread, since it takes long. `soname` is the library's;
  /// tests pass a missing one.
  explicit CublasLt(std::string soname = default_soname());
  CublasLt(const CublasLt&) = delete;
  CublasLt& operator=(const CublasLt&) = delete;
  ~CublasLt();

  /// Rounding: float32 products (no TF32) and sums, in any order; `out` is rounded once. Pointers
  /// are aligned to 16 bytes, the workspace to 256.
  /// Errors: device when the library is missing or fails, naming the call.
  void multiply(const MatrixProduct& product, std::span<std::byte> workspace, cudaStream_t stream);
  /// Number of calls of multiply().
  std::uint64_t num_calls() const { return num_calls_; }

 private:
  class Library;
  static const char* default_soname();

  std::string soname_;
  std::future<std::unique_ptr<DynamicLibrary>> opening_;
  std::unique_ptr<DynamicLibrary> file_;
  std::unique_ptr<Library> library_;
  std::uint64_t num_calls_ = 0;
};

}  // namespace quern::cuda
