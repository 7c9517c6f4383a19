#include "kernels/common/async_copy.cuh"
#include "kernels/common/dispatch.h"
#include "kernels/common/epilogue.cuh"
#include "kernels/common/launch.h"
#include "kernels/common/mma.cuh"
#include "kernels/common/reduce.cuh"
#include "kernels/skinny_gemm.h"

namespace quern::kernels {
namespace {

constexpr int kWarps = 4;
constexpr int kThreads = kWarps * kWarpSize;
constexpr int kGroupRows = 16;  ///< weight rows of one mma
constexpr int kGroups = 2;      ///< of a block: neighbours, or gate and up
constexpr int kWeightRows = kGroups * kGroupRows;
constexpr int kSlab = 128;  ///< features that a stage brings
constexpr int kChunk = 8;   ///< features of one 16-byte copy
constexpr int kMmaDepth = 16;

/// One block: kWeightRows weight rows times kRows rows. Its warps share the features of each slab
/// and add up their sums at the end.
template <typename T, int kRows>
class SkinnyTile {
 public:
  struct Stage {
    // Rows are 16 bytes longer than a slab, so that eight of them under each other lie in
    // different banks.
    T weight[kWeightRows][kSlab + kChunk];
    T in[kRows][kSlab + kChunk];
  };
  static constexpr int kStages = kRows <= 32 ? 4 : 3;
  union SharedMemory {
    Stage stages[kStages];
    float sums[kWarps][kRows][kWeightRows + 1];
  };
  static_assert(sizeof(SharedMemory) <= kMaxSharedBytes);

  __device__ SkinnyTile(const SkinnyGemmParams& p, SharedMemory& shared)
      : p_(p),
        shared_(shared),
        warp_(static_cast<int>(threadIdx.x) / kWarpSize),
        lane_(static_cast<int>(threadIdx.x) % kWarpSize),
        features_(p.epilogue.gated ? kGroupRows : kWeightRows),
        first_feature_(std::int64_t{blockIdx.x} * features_),
        first_row_(std::int64_t{blockIdx.y} * kRows),
        column_(static_cast<int>(threadIdx.x) % kChunks * kChunk),
        num_slabs_(static_cast<int>((p.in_features + kSlab - 1) / kSlab)) {
    find_sources();
  }

  __device__ void run() {
    for (int i = 0; i < kStages - 1; ++i) load_slab(i);
    for (int i = 0; i < num_slabs_; ++i) {
      wait_for_copy_groups<kStages - 2>();
      __syncthreads();  // this slab is there, and the stage of the last one is free
      load_slab(i + kStages - 1);
      multiply(shared_.stages[i % kStages]);
    }
    wait_for_copies();
    __syncthreads();
    share_sums();
    __syncthreads();
    store();
  }

 private:
  static constexpr int kChunks = kSlab / kChunk;       ///< copies of a row
  static constexpr int kRowStep = kThreads / kChunks;  ///< rows that all threads copy at once
  static_assert(kGroupRows % kRowStep == 0 && kRows % kRowStep == 0);

  __device__ std::int64_t feature(int weight_row) const {
    return first_feature_ + (p_.epilogue.gated ? weight_row % kGroupRows : weight_row);
  }

  /// Where this thread's copies come from: it brings the same columns of every kRowStep-th row.
  struct Source {
    const T* row = nullptr;  ///< at this thread's columns of the first slab
    int num_rows = 0;        ///< of its rows, those that exist
  };

  __device__ Source source_of(const void* matrix, std::int64_t first_row, std::int64_t end) const {
    const std::int64_t row = first_row + threadIdx.x / kChunks;
    const int exist = static_cast<int>((end - row + kRowStep - 1) / kRowStep);
    return {static_cast<const T*>(matrix) + row * p_.in_features + column_, max(exist, 0)};
  }

  __device__ void find_sources() {
    const std::int64_t features = p_.epilogue.out_features;
    for (int group = 0; group < kGroups; ++group) {
      weight_[group] =
          p_.epilogue.gated
              ? source_of(p_.weight, group * features + first_feature_, (group + 1) * features)
              : source_of(p_.weight, first_feature_ + group * kGroupRows, features);
    }
    in_ = source_of(p_.in, first_row_, p_.num_rows);
  }

  /// Copies kCount of a matrix's rows, zeros for what does not exist.
  template <int kCount>
  __device__ void copy(const Source& source, int begin, T (*destination)[kSlab + kChunk]) const {
    const bool inside = begin + column_ < p_.in_features;
    T* to = &destination[threadIdx.x / kChunks][column_];
#pragma unroll
    for (int i = 0; i < kCount / kRowStep; ++i) {
      const bool exists = inside && i < source.num_rows;
      const T* from = source.row + begin + i * kRowStep * p_.in_features;
      copy_16_bytes_async(to + i * kRowStep * (kSlab + kChunk),
                          exists ? from : static_cast<const T*>(p_.in), exists);
    }
  }

  /// One group of copies, of the block's i-th slab, or of nothing beyond the last. Each block
  /// begins at another slab: else all would want the same lines of `in` from L2 at once.
  __device__ void load_slab(int i) {
    if (i < num_slabs_) {
      const int begin = (static_cast<int>(blockIdx.x) + i) % num_slabs_ * kSlab;
      Stage& stage = shared_.stages[i % kStages];
#pragma unroll
      for (int group = 0; group < kGroups; ++group) {
        copy<kGroupRows>(weight_[group], begin, stage.weight + group * kGroupRows);
      }
      copy<kRows>(in_, begin, stage.in);
    }
    end_copy_group();
  }

  __device__ void multiply(const Stage& stage) {
#pragma unroll
    for (int i = 0; i < kSlab / kMmaDepth / kWarps; ++i) {
      const int k = (i * kWarps + warp_) * kMmaDepth;
      std::uint32_t weight[kGroups][4];
#pragma unroll
      for (int group = 0; group < kGroups; ++group) {
        load_matrices(&stage.weight[group * kGroupRows + lane_ % 16][k + lane_ / 16 * 8],
                      weight[group]);
      }
#pragma unroll
      for (int j = 0; j < kRows / 8; j += 2) {
        std::uint32_t in[4];
        load_matrices(&stage.in[8 * j + lane_ / 16 * 8 + lane_ % 8][k + lane_ / 8 % 2 * 8], in);
#pragma unroll
        for (int group = 0; group < kGroups; ++group) {
          mma_m16n8k16<T>(sums_[group][j], weight[group], {in[0], in[1]});
          mma_m16n8k16<T>(sums_[group][j + 1], weight[group], {in[2], in[3]});
        }
      }
    }
  }

  __device__ void share_sums() {
#pragma unroll
    for (int group = 0; group < kGroups; ++group) {
#pragma unroll
      for (int j = 0; j < kRows / 8; ++j) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const int weight_row = group * kGroupRows + lane_ / 4 + i / 2 * 8;
          const int row = 8 * j + lane_ % 4 * 2 + i % 2;
          shared_.sums[warp_][row][weight_row] = sums_[group][j][i];
        }
      }
    }
  }

  __device__ float product(int row, int weight_row) const {
    float sum = 0.0f;
#pragma unroll
    for (int warp = 0; warp < kWarps; ++warp) sum += shared_.sums[warp][row][weight_row];
    return sum;
  }

  __device__ void store() const {
    for (int i = static_cast<int>(threadIdx.x); i < kRows * features_; i += kThreads) {
      const int row = i / features_;
      const int weight_row = i % features_;
      if (first_row_ + row >= p_.num_rows || feature(weight_row) >= p_.epilogue.out_features) {
        continue;
      }
      finish(p_.epilogue, first_row_ + row, feature(weight_row), product(row, weight_row),
             p_.epilogue.gated ? product(row, weight_row + kGroupRows) : 0.0f);
    }
  }

  const SkinnyGemmParams& p_;
  SharedMemory& shared_;
  int warp_;
  int lane_;
  int features_;  ///< outputs of the block
  std::int64_t first_feature_;
  std::int64_t first_row_;
  int column_;  ///< of a slab, from where on this thread copies
  int num_slabs_;
  Source weight_[kGroups];
  Source in_;
  float sums_[kGroups][kRows / 8][4] = {};
};

/// grid: weight rows, rows.
template <typename T, int kRows>
__global__ void __launch_bounds__(kThreads)
    skinny_gemm_kernel(const __grid_constant__ SkinnyGemmParams p) {
  using Tile = SkinnyTile<T, kRows>;
  extern __shared__ uint4 shared[];
  Tile(p, *reinterpret_cast<typename Tile::SharedMemory*>(shared)).run();
}

/// The narrowest tile that holds the rows, or the widest.
int tile_rows(std::int64_t num_rows) { return num_rows <= 16 ? 16 : num_rows <= 32 ? 32 : 64; }

}  // namespace

bool skinny_gemm_supports(DType dtype, std::int64_t in_features) {
  return (dtype == DType::float16 || dtype == DType::bfloat16) && in_features % kChunk == 0;
}

void skinny_gemm(const SkinnyGemmParams& params, cudaStream_t stream) {
  const std::int64_t features = params.epilogue.gated ? kGroupRows : kWeightRows;
  const int rows = tile_rows(params.num_rows);
  const dim3 grid(static_cast<unsigned>((params.epilogue.out_features + features - 1) / features),
                  static_cast<unsigned>((params.num_rows + rows - 1) / rows));
  dispatch_half(params.dtype, "skinny_gemm", [&]<typename T>() {
    dispatch_value(std::integer_sequence<int, 16, 32, 64>{}, rows, "skinny_gemm", "rows",
                   [&]<int kRows>() {
                     launch(skinny_gemm_kernel<T, kRows>,
                            {.grid = grid,
                             .block = dim3(kThreads),
                             .shared_bytes = sizeof(typename SkinnyTile<T, kRows>::SharedMemory)},
                            stream, params);
                   });
  });
}

}  // namespace quern::kernels
