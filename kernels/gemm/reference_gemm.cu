#include "kernels/common/dispatch.h"
#include "kernels/common/epilogue.cuh"
#include "kernels/common/launch.h"
#include "kernels/gemm/reference_gemm.h"

namespace quern::kernels {
namespace {

constexpr int kSide = 16;  ///< threads of a block are kSide x kSide
constexpr int kThreads = kSide * kSide;
constexpr int kEach = 4;  ///< rows, and weight rows, per thread
constexpr int kTile = kSide * kEach;
constexpr int kTileK = 16;  ///< features per K tile

struct SharedMemory {
  float weight[kTileK][kTile + 1];
  float in[kTileK][kTile + 1];
};

/// One block: kTile weight rows by kTile rows. With a gate, the first half of the weight rows are
/// gate rows and the second half their up rows.
template <typename In, typename W>
class ReferenceTile {
 public:
  __device__ ReferenceTile(const ReferenceGemmParams& p, SharedMemory& shared)
      : p_(p),
        shared_(shared),
        x_(static_cast<int>(threadIdx.x) % kSide),
        y_(static_cast<int>(threadIdx.x) / kSide),
        features_(p.epilogue.gated ? kTile / 2 : kTile),
        first_feature_(std::int64_t{blockIdx.x} * features_),
        first_row_(std::int64_t{blockIdx.y} * kTile) {}

  __device__ void run() {
    for (std::int64_t begin = 0; begin < p_.in_features; begin += kTileK) {
      load(begin);
      __syncthreads();
      multiply();
      __syncthreads();
    }
    store();
  }

 private:
  __device__ void load(std::int64_t begin) {
    for (int i = static_cast<int>(threadIdx.x); i < kTile * kTileK; i += kThreads) {
      const int row = i / kTileK;
      const int k = i % kTileK;
      const bool inside = begin + k < p_.in_features;
      const std::int64_t feature = first_feature_ + row % features_;
      const std::int64_t weight_row = feature + row / features_ * p_.epilogue.out_features;
      shared_.weight[k][row] = inside && feature < p_.epilogue.out_features
                                   ? element<W>(p_.weight, weight_row, begin + k)
                                   : 0.0f;
      shared_.in[k][row] = inside && first_row_ + row < p_.num_rows
                               ? element<In>(p_.in, first_row_ + row, begin + k)
                               : 0.0f;
    }
  }

  template <typename T>
  __device__ float element(const void* matrix, std::int64_t row, std::int64_t column) const {
    return to_float(static_cast<const T*>(matrix)[row * p_.in_features + column]);
  }

  __device__ void multiply() {
#pragma unroll
    for (int k = 0; k < kTileK; ++k) {
      float weight[kEach];
      float in[kEach];
#pragma unroll
      for (int i = 0; i < kEach; ++i) {
        weight[i] = shared_.weight[k][x_ + i * kSide];
        in[i] = shared_.in[k][y_ + i * kSide];
      }
#pragma unroll
      for (int i = 0; i < kEach; ++i) {
#pragma unroll
        for (int j = 0; j < kEach; ++j) sums_[i][j] += in[i] * weight[j];
      }
    }
  }

  __device__ void store() const {
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
      const std::int64_t row = first_row_ + y_ + i * kSide;
      if (row >= p_.num_rows) continue;
#pragma unroll
      for (int j = 0; j < kEach; ++j) {
        const std::int64_t feature = first_feature_ + x_ + j * kSide;
        if (x_ + j * kSide >= features_ || feature >= p_.epilogue.out_features) continue;
        finish(p_.epilogue, row, feature, sums_[i][j], sums_[i][(j + kEach / 2) % kEach]);
      }
    }
  }

  const ReferenceGemmParams& p_;
  SharedMemory& shared_;
  int x_;
  int y_;
  int features_;  ///< out features of the block
  std::int64_t first_feature_;
  std::int64_t first_row_;
  float sums_[kEach][kEach] = {};
};

/// grid: weight rows, rows.
template <typename In, typename W>
__global__ void __launch_bounds__(kThreads)
    reference_gemm_kernel(const __grid_constant__ ReferenceGemmParams p) {
  __shared__ SharedMemory shared;
  ReferenceTile<In, W>(p, shared).run();
}

}  // namespace

void reference_gemm(const ReferenceGemmParams& params, cudaStream_t stream) {
  const std::int64_t features = params.epilogue.gated ? kTile / 2 : kTile;
  const LaunchShape shape{
      .grid = dim3(static_cast<unsigned>((params.epilogue.out_features + features - 1) / features),
                   static_cast<unsigned>((params.num_rows + kTile - 1) / kTile)),
      .block = dim3(kThreads)};
  dispatch_float(params.in_dtype, "reference_gemm", [&]<typename In>() {
    dispatch_float(params.weight_dtype, "reference_gemm", [&]<typename W>() {
      launch(reference_gemm_kernel<In, W>, shape, stream, params);
    });
  });
}

}  // namespace quern::kernels
