#pragma once

#include <cstdint>

#include "kernels/common/dependent_launch.cuh"
#include "kernels/common/epilogue.cuh"
#include "kernels/common/launch.h"
#include "kernels/common/mma.cuh"
#include "kernels/common/reduce.cuh"
#include "kernels/quant/rounded/rounded_gemm_stages.cuh"

namespace quern::kernels {

// Few rows are bound by the weights' bytes: many small blocks whose warps stream on their own. Many
// rows reuse a tile's weights.
using RoundedGemmFewRows = RoundedGemmLayout<16, 32, 1, 1, 4, 3, true>;
using RoundedGemmSomeRows = RoundedGemmLayout<64, 32, 2, 1, 4, 6>;
using RoundedGemmManyRows = RoundedGemmLayout<128, 128, 2, 4, 1, 3>;

/// A block's tile of sums: each warp has kRowTiles by kFeatureTiles fragments of 16 rows and eight
/// weight rows.
template <typename Numbers, typename Layout>
class RoundedGemmTile {
 public:
  using Params = typename Numbers::Params;
  using Sum = typename Numbers::Sum;

  __device__ RoundedGemmTile(const Params& p, unsigned char* shared)
      : p_(p),
        shared_(shared),
        place_(RoundedGemmPlace::of<Layout>(p)),
        lane_(static_cast<int>(threadIdx.x) % kWarpSize) {
    const int warp = static_cast<int>(threadIdx.x) / kWarpSize;
    split_ = warp / (Layout::kWarpRows * Layout::kWarpFeatures);
    first_row_ = warp % Layout::kWarpRows * (16 * kRowTiles);
    first_feature_ = warp / Layout::kWarpRows % Layout::kWarpFeatures * (8 * kFeatureTiles);
  }

  __device__ void multiply() {
    const int ring = Layout::kOwnRings ? split_ : 0;
    unsigned char* stages = shared_ + ring * Layout::kRingBytes;
    const RoundedGemmLoader<Numbers, Layout> loader(p_, place_, stages);
    const int all_steps =
        (static_cast<int>(Numbers::row_bytes(p_)) + Layout::kDepth - 1) / Layout::kDepth;
    // Those of this ring: step number ring + i · kRings.
    const int steps = (all_steps - ring + Layout::kRings - 1) / Layout::kRings;
    const auto step_of = [&](int i) { return ring + i * Layout::kRings; };
    constexpr int kAhead = Layout::kStages - 1;
    // Weights do not wait for earlier kernels.
    for (int i = 0; i < min(kAhead, steps); ++i) loader.load_weights(step_of(i), i);
    wait_for_earlier_kernels();
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      if (i < steps) loader.load_rows(step_of(i), i);
      end_copy_group();
    }
    for (int i = 0; i < steps; ++i) {
      wait_for_copy_groups<kAhead - 1>();
      wait_for_ring();  // all have read the stage that is loaded next
      if (i + kAhead < steps) {
        const int stage = (i + kAhead) % Layout::kStages;
        loader.load_weights(step_of(i + kAhead), stage);
        loader.load_rows(step_of(i + kAhead), stage);
      }
      end_copy_group();
      multiply_stage(shared_address(stages + i % Layout::kStages * Layout::kStageBytes));
    }
    wait_for_copies();
  }

  /// Adds the warps' sums in shared memory: [kRows, kSumStride].
  __device__ void gather() {
    Sum* sums = reinterpret_cast<Sum*>(shared_);
    for (int split = 0; split < Layout::kWarpSplits; ++split) {
      __syncthreads();  // all have read the stages, or the split before has written
      if (split != split_) continue;
#pragma unroll
      for (int m = 0; m < kRowTiles; ++m) {
#pragma unroll
        for (int n = 0; n < kFeatureTiles; ++n) {
#pragma unroll
          for (int half = 0; half < 2; ++half) {
            const int row = first_row_ + 16 * m + 8 * half + lane_ / 4;
            const int feature = first_feature_ + 8 * n + 2 * (lane_ % 4);
            auto* at = reinterpret_cast<SumPair*>(sums + row * Layout::kSumStride + feature);
            SumPair total{sums_[m][n][2 * half], sums_[m][n][2 * half + 1]};
            if (split > 0) {
              total.x += at->x;
              total.y += at->y;
            }
            *at = total;
          }
        }
      }
    }
    __syncthreads();
  }

  __device__ void finish() const {
    constexpr int kWidth = 4;
    if (p_.epilogue.gated) {
      finish_features<Layout::kFeatures / 2 / kWidth>();
    } else {
      finish_features<Layout::kFeatures / kWidth>();
    }
  }

 private:
  static constexpr int kRowTiles = Layout::kRows / Layout::kWarpRows / 16;
  static constexpr int kFeatureTiles = Layout::kFeatures / Layout::kWarpFeatures / 8;
  static_assert(kFeatureTiles % 2 == 0);

  struct alignas(2 * sizeof(Sum)) SumPair {
    Sum x;
    Sum y;
  };
  using Sums = Sum[kRowTiles][kFeatureTiles][4];

  /// The threads that fill a ring.
  __device__ static void wait_for_ring() {
    if constexpr (Layout::kOwnRings) {
      __syncwarp();
    } else {
      __syncthreads();
    }
  }

  __device__ void multiply_stage(std::uint32_t stage) {
    if constexpr (Numbers::kPromotesSums) {
      Sums products = {};
      add_products(stage, products);
#pragma unroll
      for (int m = 0; m < kRowTiles; ++m) {
#pragma unroll
        for (int n = 0; n < kFeatureTiles; ++n) {
#pragma unroll
          for (int i = 0; i < 4; ++i) sums_[m][n][i] += products[m][n][i];
        }
      }
    } else {
      add_products(stage, sums_);
    }
  }

  __device__ void add_products(std::uint32_t stage, Sums& sums) const {
    constexpr int kFragments = Layout::kDepth / 32;
    constexpr int kSharers = Layout::kOwnRings ? 1 : Layout::kWarpSplits;
#pragma unroll
    for (int i = 0; i < kFragments / kSharers; ++i) {
      const int fragment = i * kSharers + (Layout::kOwnRings ? 0 : split_);
      std::uint32_t rows[kRowTiles][4];
#pragma unroll
      for (int m = 0; m < kRowTiles; ++m) {
        load_matrices(chunk_at(stage, first_row_ + 16 * m + lane_ % 16, 2 * fragment + lane_ / 16),
                      rows[m]);
      }
#pragma unroll
      for (int n = 0; n < kFeatureTiles; n += 2) {
        std::uint32_t weights[4];
        const int row = Layout::kRows + first_feature_ + 8 * n + lane_ / 16 * 8 + lane_ % 8;
        load_matrices(chunk_at(stage, row, 2 * fragment + lane_ / 8 % 2), weights);
#pragma unroll
        for (int m = 0; m < kRowTiles; ++m) {
          Numbers::multiply(sums[m][n], rows[m], {weights[0], weights[1]});
          Numbers::multiply(sums[m][n + 1], rows[m], {weights[2], weights[3]});
        }
      }
    }
  }

  __device__ static std::uint32_t chunk_at(std::uint32_t stage, int row, int chunk) {
    return stage + row * 128 + (chunk ^ row % 8) * 16;
  }

  /// kGroups groups of four features; a thread has the same one in several rows.
  template <int kGroups>
  __device__ void finish_features() const {
    static_assert(Layout::kThreads % kGroups == 0);
    constexpr int kRowsAtATime = Layout::kThreads / kGroups;
    const Epilogue& e = p_.epilogue;
    const int in_tile = static_cast<int>(threadIdx.x) % kGroups * 4;
    const std::int64_t feature = place_.feature + in_tile;
    if (feature >= e.out_features) return;
    const int count = static_cast<int>(min(std::int64_t{4}, e.out_features - feature));
    using Feature = typename Numbers::Feature;
    Feature own[4];
    Feature up[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (i >= count) continue;
      own[i] = Feature(p_, feature + i);
      if (e.gated) up[i] = Feature(p_, e.out_features + feature + i);
    }
    const auto finisher = [&](int i) {
      return FeatureEpilogue(e, min(feature + i, e.out_features - 1));
    };
    const FeatureEpilogue finishers[4] = {finisher(0), finisher(1), finisher(2), finisher(3)};
    const bool whole = count == 4 && e.out_features % 4 == 0;
    const Sum* sums = reinterpret_cast<const Sum*>(shared_);
    for (int r = static_cast<int>(threadIdx.x) / kGroups; r < Layout::kRows; r += kRowsAtATime) {
      const std::int64_t row = place_.row + r;
      if (row >= p_.num_rows) return;
      const typename Numbers::Row of_row(p_, row);
      const Sum* at = sums + r * Layout::kSumStride + in_tile;
      float results[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float first = Numbers::product(at[i], of_row, own[i]);
        const float second =
            e.gated ? Numbers::product(at[i + Layout::kFeatures / 2], of_row, up[i]) : first;
        results[i] = finishers[i].apply(first, second, activate);
      }
      store(row * e.out_features + feature, count, whole, results);
    }
  }

  /// Stores `count` results, aligned to four elements where they are `whole`.
  __device__ void store(std::int64_t at, int count, bool whole, const float (&results)[4]) const {
    const Epilogue& e = p_.epilogue;
    const float4 four{results[0], results[1], results[2], results[3]};
    if (whole && e.out_dtype == DType::float16) {
      return store_4(static_cast<__half*>(e.out) + at, four);
    }
    if (whole && e.out_dtype == DType::bfloat16) {
      return store_4(static_cast<__nv_bfloat16*>(e.out) + at, four);
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (i < count) store_element(e.out_dtype, e.out, at + i, results[i]);
    }
  }

  const Params& p_;
  unsigned char* shared_;
  RoundedGemmPlace place_;
  int lane_;
  int split_;
  int first_row_;      ///< of this warp, in the tile
  int first_feature_;  ///< weight row, likewise
  Sums sums_ = {};
};

/// grid: tiles, see RoundedGemmPlace. Where there is no code, the bound tells
/// rounded_gemm_architecture().
template <typename Numbers, typename Layout>
__global__ void __launch_bounds__(Numbers::kHasCode ? Layout::kThreads : kWarpSize,
                                  Numbers::kMinBlocks)
    rounded_gemm_kernel(const __grid_constant__ typename Numbers::Params p) {
  if constexpr (Numbers::kHasCode) {
    extern __shared__ __align__(128) unsigned char rounded_gemm_stages[];
    let_next_kernel_start();
    RoundedGemmTile<Numbers, Layout> tile(p, rounded_gemm_stages);
    tile.multiply();
    tile.gather();
    tile.finish();
  }
}

/// The architecture of this build's code for the current device, as 10 · major + minor; 0 where it
/// has no code of Numbers. Errors: LaunchError when a CUDA call fails.
template <typename Numbers>
int rounded_gemm_architecture() {
  using Layout = RoundedGemmManyRows;
  const auto* kernel = reinterpret_cast<const void*>(rounded_gemm_kernel<Numbers, Layout>);
  cudaFuncAttributes attributes{};
  check_launch(cudaFuncGetAttributes(&attributes, kernel), kernel, {});
  return attributes.maxThreadsPerBlock >= Layout::kThreads ? attributes.binaryVersion : 0;
}

template <typename Numbers, typename Layout>
void launch_rounded_gemm(const typename Numbers::Params& p, cudaStream_t stream) {
  static_assert(Layout::kSharedBytes <= kMaxSharedBytes);
  const std::int64_t tile_features = p.epilogue.gated ? Layout::kFeatures / 2 : Layout::kFeatures;
  const std::int64_t tiles = (p.num_rows + Layout::kRows - 1) / Layout::kRows *
                             ((p.epilogue.out_features + tile_features - 1) / tile_features);
  launch(rounded_gemm_kernel<Numbers, Layout>,
         {.grid = dim3(static_cast<unsigned>(tiles)),
          .block = dim3(Layout::kThreads),
          .shared_bytes = Layout::kSharedBytes,
          .use_pdl = p.use_pdl},
         stream, p);
}

/// The GEMM of Numbers, for any number of rows.
template <typename Numbers>
void rounded_gemm(const typename Numbers::Params& p, cudaStream_t stream) {
  if (p.num_rows <= RoundedGemmFewRows::kRows) {
    return launch_rounded_gemm<Numbers, RoundedGemmFewRows>(p, stream);
  }
  if (p.num_rows <= RoundedGemmSomeRows::kRows) {
    return launch_rounded_gemm<Numbers, RoundedGemmSomeRows>(p, stream);
  }
  launch_rounded_gemm<Numbers, RoundedGemmManyRows>(p, stream);
}

}  // namespace quern::kernels
