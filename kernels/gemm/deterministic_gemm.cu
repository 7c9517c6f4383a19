#include <algorithm>

#include "kernels/common/device_limits.h"
#include "kernels/common/dispatch.h"
#include "kernels/common/launch.h"
#include "kernels/gemm/deterministic_gemm.h"
#include "kernels/gemm/skinny_block.cuh"
#include "kernels/norm/norm_row.cuh"

namespace quern::kernels {
namespace {

/// A layout of 64 rows: one block on a multiprocessor, so that the accumulators fit.
template <int kTilesPerWarp, int kWarpsN, int kKSlicesOfKTile, int kStagesOfBlock>
struct WideLayout : GemmLayout<64, kTilesPerWarp, kWarpsN, kKSlicesOfKTile, kStagesOfBlock> {
  static constexpr int kRegistersForMma = 200;
};

template <typename L>
constexpr int kKernelsAtOnce = L::kRows > 32 ? 1 : 2;

// The K splits, for 16, 32 and 64 rows. A sum's order is its K split: classes of MMA steps, one a
// warp, which are added at the end. Stages and tiles of a warp have no influence.
// Few tiles: eight warps along K.
constexpr int kFewTiles = 6;
constexpr KSplit kSplitOfFew{8, 4};
using FewOfM16 = GemmLayouts<GemmLayout<16, 1, 1, 4, 6>, GemmLayout<16, 2, 1, 4, 4>,
                             GemmLayout<16, 4, 1, 4, 3>, GemmLayout<16, 6, 1, 4, 3>>;
using FewOfM32 =
    GemmLayouts<GemmLayout<32, 2, 1, 4, 3>, GemmLayout<32, 4, 1, 4, 3>, GemmLayout<32, 6, 1, 4, 3>>;
using FewOfM64 =
    GemmLayouts<WideLayout<2, 1, 4, 3>, WideLayout<4, 1, 4, 3>, WideLayout<6, 1, 4, 3>>;
// More: four.
constexpr int kSomeTiles = 12;
constexpr KSplit kSplitOfSome{4, 2};
using SomeOfM16 = GemmLayouts<GemmLayout<16, 6, 2, 2, 4>, GemmLayout<16, 6, 2, 2, 3>>;
using SomeOfM32 = GemmLayouts<GemmLayout<32, 6, 2, 2, 4>>;
using SomeOfM64 = GemmLayouts<WideLayout<6, 2, 2, 3>>;
// Any number, in several passes where there are many: two.
constexpr KSplit kSplitOfMany{2, 1};
using ManyOfM16 =
    GemmLayouts<GemmLayout<16, 4, 4, 1, 5>, GemmLayout<16, 6, 4, 1, 5>, GemmLayout<16, 6, 4, 1, 4>,
                GemmLayout<16, 8, 4, 1, 4>, GemmLayout<16, 8, 4, 1, 3>>;
using ManyOfM32 = GemmLayouts<GemmLayout<32, 4, 4, 1, 4>, GemmLayout<32, 7, 4, 1, 4>>;
using ManyOfM64 = GemmLayouts<WideLayout<2, 4, 1, 4>, WideLayout<4, 4, 1, 4>,
                              WideLayout<6, 4, 1, 4>, WideLayout<8, 4, 1, 4>>;

template <typename Layouts>
struct HaveKSplit;
template <typename... Layouts>
struct HaveKSplit<GemmLayouts<Layouts...>> {
  static constexpr bool of(const KSplit& split) {
    return ((Layouts::kWarpsK == split.warps && Layouts::kKSlices == split.k_slices) && ...);
  }
};
template <typename... Lists>
constexpr bool have(const KSplit& split) {
  return (HaveKSplit<Lists>::of(split) && ...);
}
static_assert(have<FewOfM16, FewOfM32, FewOfM64>(kSplitOfFew));
static_assert(have<SomeOfM16, SomeOfM32, SomeOfM64>(kSplitOfSome));
static_assert(have<ManyOfM16, ManyOfM32, ManyOfM64>(kSplitOfMany));
// Every GPU runs every number of tiles, with 16 rows at a time if not with more.
static_assert(FewOfM16::cover(kFewTiles, kMaxSharedBytes));
static_assert(SomeOfM16::cover(kSomeTiles, kMaxSharedBytes));
static_assert(ManyOfM16::kServeAll && ManyOfM32::kServeAll && ManyOfM64::kServeAll);

/// Kernel argument.
struct Plan {
  DeterministicGemmParams params;
  int pass_tiles = 0;    ///< tiles per pass, at most
  int stages_bytes = 0;  ///< the row that is normed follows the stages
};

/// A single row that the block norms itself; see RowsInMemory.
template <typename T>
class NormedRow {
 public:
  __device__ NormedRow(const DeterministicGemmParams& p, uint4* row)
      : p_(p), row_(row), norm_(p.norm) {}

  __device__ void prepare() {
    norm_.load(p_.norm.token_rows != nullptr ? *p_.norm.token_rows : 0);
    if (p_.residual_out != nullptr && blockIdx.x == 0) norm_.store(p_.residual_out);
    norm_.store_norm(reinterpret_cast<T*>(row_));
    __syncthreads();
  }
  template <typename L>
  __device__ void load(const GemmStages<L>& stages, int k_tile, uint4* stage) const {
    stages.store_row(row_, k_tile, stage);
  }

 private:
  static constexpr int kHeld = 1024 / kGemmThreads;  // rows of 4096 elements, as in norm()
  const DeterministicGemmParams& p_;
  uint4* row_;
  NormRow<T, 4, kHeld> norm_;
};

template <typename T, typename L>
__global__ void __launch_bounds__(kGemmThreads, kKernelsAtOnce<L>)
    deterministic_gemm_kernel(const __grid_constant__ Plan plan) {
  extern __shared__ __align__(1024) uint4 shared_of_deterministic_gemm[];  // see LaneFragments
  uint4* shared = shared_of_deterministic_gemm;
  let_next_kernel_start();
  if constexpr (L::kRows == kMmaRows) {
    if (plan.params.in == nullptr) {
      NormedRow<T> row(plan.params, shared + plan.stages_bytes / 16);
      return run_skinny_block<T, L>(plan.params, plan.pass_tiles, row, shared);
    }
  }
  RowsInMemory rows;
  run_skinny_block<T, L>(plan.params, plan.pass_tiles, rows, shared);
}

std::int64_t row_bytes(const DeterministicGemmParams& params) {
  return params.in_features * static_cast<std::int64_t>(dtype_bytes(params.dtype));
}

/// Shared memory for the stages of a block. With one row, as with gemv(), the next projection's
/// block is co-resident: no norm runs in between.
int bytes_for_stages(const DeterministicGemmParams& params, int rows_of_block) {
  constexpr std::size_t kReservedBytes = 1024;  // by CUDA, per block
  std::size_t most = max_shared_bytes();
  if (params.num_rows == 1) {
    most = std::max(std::min(most, one_block_shared_bytes() - kReservedBytes), kMaxSharedBytes);
  } else if (rows_of_block <= 32) {
    most = std::min(most, params.most_shared_bytes);
  }
  const auto row = params.in == nullptr ? static_cast<std::size_t>(row_bytes(params)) : 0;
  return static_cast<int>(most > row ? most - row : 0);
}

/// Returns whether the layouts serve the tiles.
template <typename T, typename Layouts>
bool launch_layouts(const DeterministicGemmParams& params, int rows_of_block, cudaStream_t stream) {
  const int tiles = tiles_of_block(params.epilogue, params.num_multiprocessors);
  const int bytes = bytes_for_stages(params, rows_of_block);
  if (!Layouts::kServeAll && !Layouts::cover(tiles, bytes)) return false;
  Layouts::dispatch(tiles, bytes, [&]<typename L>(int pass_tiles) {
    const auto row = params.in == nullptr ? static_cast<std::size_t>(row_bytes(params)) : 0;
    launch(deterministic_gemm_kernel<T, L>,
           {.grid = dim3(static_cast<unsigned>(params.num_multiprocessors),
                         static_cast<unsigned>((params.num_rows + L::kRows - 1) / L::kRows)),
            .block = dim3(kGemmThreads),
            .shared_bytes = L::kSharedBytes + row,
            .use_pdl = params.use_pdl,
            .one_block_per_sm = params.num_rows > 1},
           stream, Plan{params, pass_tiles, L::kSharedBytes});
  });
  return true;
}

/// The largest blocks of rows that are of use and fit.
template <typename T, typename OfM16, typename OfM32, typename OfM64>
void launch_rows(const DeterministicGemmParams& params, cudaStream_t stream) {
  if (params.num_rows > 32 && launch_layouts<T, OfM64>(params, 64, stream)) return;
  if (params.num_rows > 16 && launch_layouts<T, OfM32>(params, 32, stream)) return;
  launch_layouts<T, OfM16>(params, 16, stream);
}

}  // namespace

KSplit deterministic_k_split(int tiles_of_block) {
  if (tiles_of_block <= kFewTiles) return kSplitOfFew;
  return tiles_of_block <= kSomeTiles ? kSplitOfSome : kSplitOfMany;
}

bool deterministic_gemm_fuses_norm(const DeterministicGemmParams& params) {
  if (params.num_rows != 1) return false;
  DeterministicGemmParams fused = params;
  fused.in = nullptr;
  const int tiles = tiles_of_block(params.epilogue, params.num_multiprocessors);
  const int bytes = bytes_for_stages(fused, 16);
  const KSplit split = deterministic_k_split(tiles);
  if (split == kSplitOfFew) return FewOfM16::cover(tiles, bytes);
  if (split == kSplitOfSome) return SomeOfM16::cover(tiles, bytes);
  return ManyOfM16::cover(1, bytes);
}

void deterministic_gemm(const DeterministicGemmParams& params, cudaStream_t stream) {
  const KSplit split =
      deterministic_k_split(tiles_of_block(params.epilogue, params.num_multiprocessors));
  dispatch_half(params.dtype, "deterministic_gemm", [&]<typename T>() {
    if (split == kSplitOfFew) return launch_rows<T, FewOfM16, FewOfM32, FewOfM64>(params, stream);
    if (split == kSplitOfSome) {
      return launch_rows<T, SomeOfM16, SomeOfM32, SomeOfM64>(params, stream);
    }
    launch_rows<T, ManyOfM16, ManyOfM32, ManyOfM64>(params, stream);
  });
}

}  // namespace quern::kernels
