#include <algorithm>

#include "kernels/common/async_copy.cuh"
#include "kernels/common/dependent_launch.cuh"
#include "kernels/common/device_limits.h"
#include "kernels/common/dispatch.h"
#include "kernels/common/epilogue.cuh"
#include "kernels/common/last_block.cuh"
#include "kernels/common/launch.h"
#include "kernels/common/mma.cuh"
#include "kernels/common/reduce.cuh"
#include "kernels/skinny_gemm.h"

namespace quern::kernels {
namespace {

constexpr int kWarps = 16;
constexpr int kThreads = kWarps * kWarpSize;
constexpr int kGroupRows =
    32;  ///< weight rows of a warp: two of its mma's; gated, gate and up rows
constexpr int kGroups = 4;
constexpr int kTileRows = kGroups * kGroupRows;  ///< weight rows of a tile
constexpr int kMmaDepth = 16;
constexpr int kDepths = kWarps / kGroups;  ///< warps that share a group's features
constexpr int kSlab = 128;                 ///< features that a stage brings
constexpr int kPiece = 8;                  ///< features of one 16-byte copy
constexpr int kPieces = kSlab / kPiece;
constexpr int kFewestSlabs = 2;  ///< of a tile, that a block is started for
static_assert(kThreads == kGroupRows * kPieces, "a copy of all threads brings a group's rows");

/// Rows and slabs of a launch, the same for the host and the device. Tiles are kTileRows weight
/// rows by all features; slabs are counted tile by tile, and each block takes an equal share of
/// them.
struct Split {
  int num_tiles;
  int num_slabs;  ///< of a tile
  int num_blocks;

  __host__ __device__ int begin_of(int block) const {
    return static_cast<int>(std::int64_t{num_tiles} * num_slabs * block / num_blocks);
  }
  /// The block that has a slab.
  __device__ int block_of(int slab) const {
    const std::int64_t total = std::int64_t{num_tiles} * num_slabs;
    return static_cast<int>((std::int64_t{slab + 1} * num_blocks - 1) / total);
  }
};

struct Plan {
  SkinnyGemmParams params;
  Split split;
};

template <typename T, int kRows>
struct Stage {
  T weight[kTileRows][kSlab];
  T in[kRows][kSlab];
};

/// Within a row of a stage, where a piece lies: shuffled such that eight rows' same pieces lie in
/// different banks.
__device__ inline int place_of(int row, int piece) { return (piece ^ (row % 8)) * kPiece; }

/// Brings a block's slabs to shared memory, in their order.
template <typename T, int kRows>
class SlabLoader {
 public:
  __device__ SlabLoader(const SkinnyGemmParams& p, const Split& split, int begin, int end,
                        std::int64_t first_row)
      : p_(p),
        num_slabs_(split.num_slabs),
        left_(end - begin),
        tile_(begin / split.num_slabs),
        slab_(begin % split.num_slabs),
        in_slab_(slab_),
        in_left_(left_),
        in_(static_cast<const T*>(p.in) + (first_row + row()) * p.in_features + slab_ * kSlab +
            piece() * kPiece),
        in_rows_(static_cast<int>(min(p.num_rows - first_row, std::int64_t{kRows}))) {
    find_weight();
  }

  /// The next slab's weight rows, with zeros beyond the features. Rows that do not exist leave in
  /// the stage what was there: what they give is not used.
  __device__ void load_weight(Stage<T, kRows>& stage) {
    if (left_ == 0) return;
    --left_;
    const bool inside = slab_ * kSlab + piece() * kPiece < p_.in_features;
    const std::int64_t step = (p_.epilogue.gated ? kGroupRows / 2 : kGroupRows) * p_.in_features;
#pragma unroll
    for (int i = 0; i < kGroups; ++i) {
      if (i < weight_groups_) {
        copy_16_bytes_async(&stage.weight[i * kGroupRows + row()][place_of(row(), piece())],
                            weight_ + i * step, inside);
      }
    }
    weight_ += kSlab;
    if (++slab_ < num_slabs_) return;
    slab_ = 0;
    ++tile_;
    find_weight();
  }

  /// The rows that go with them, likewise.
  __device__ void load_in(Stage<T, kRows>& stage) {
    if (in_left_ == 0) return;
    --in_left_;
    const bool inside = in_slab_ * kSlab + piece() * kPiece < p_.in_features;
#pragma unroll
    for (int i = 0; i < kRows; i += kGroupRows) {
      if (i + row() < in_rows_) {
        copy_16_bytes_async(&stage.in[i + row()][place_of(row(), piece())],
                            in_ + i * p_.in_features, inside);
      }
    }
    in_ += kSlab;
    if (++in_slab_ < num_slabs_) return;
    in_slab_ = 0;
    in_ -= std::int64_t{num_slabs_} * kSlab;
  }

 private:
  __device__ static int row() { return static_cast<int>(threadIdx.x) / kPieces; }
  __device__ static int piece() { return static_cast<int>(threadIdx.x) % kPieces; }

  /// This thread brings the same place of each group. Gated, the first half of a group are gate
  /// rows and the second half the up rows of the same features.
  __device__ void find_weight() {
    const bool gated = p_.epilogue.gated;
    const int features = gated ? kGroupRows / 2 : kGroupRows;
    const int up = gated ? row() / features : 0;
    const std::int64_t feature = std::int64_t{tile_} * kGroups * features + row() % features;
    const std::int64_t left = p_.epilogue.out_features - feature;
    weight_groups_ = static_cast<int>((left + features - 1) / features);
    weight_ = static_cast<const T*>(p_.weight) +
              (up * p_.epilogue.out_features + feature) * p_.in_features + slab_ * kSlab +
              piece() * kPiece;
  }

  const SkinnyGemmParams& p_;
  int num_slabs_;
  int left_;
  int tile_;
  int slab_;
  int in_slab_;
  int in_left_;
  const T* in_;                ///< this thread's first row and column
  int in_rows_;                ///< that exist
  const T* weight_ = nullptr;  ///< this thread's first copy of the next slab
  int weight_groups_ = 0;      ///< in which this thread's row exists
};

/// A block at work: its slabs, tile by tile. Its warps have each a group's weight rows and half of
/// a slab's features.
template <typename T, int kRows, int kStages>
class SkinnyBlock {
 public:
  static constexpr int kBand = kRows < 32 ? kRows : 32;  ///< rows that are finished at a time
  /// Sums of a band, in a stage that is free.
  struct Sums {
    float at[kBand][kTileRows + 4];  // padded: a warp's fragments lie in different banks
  };
  union Slot {
    Stage<T, kRows> stage;
    Sums sums;
  };
  using SharedMemory = Slot[kStages];

  __device__ SkinnyBlock(const Plan& plan, SharedMemory& shared)
      : p_(plan.params),
        split_(plan.split),
        shared_(shared),
        begin_(split_.begin_of(static_cast<int>(blockIdx.x))),
        end_(split_.begin_of(static_cast<int>(blockIdx.x) + 1)),
        first_row_(std::int64_t{blockIdx.y} * kRows),
        loader_(p_, split_, begin_, end_, first_row_) {}

  __device__ void run() {
    for (int i = 0; i < kStages - 1; ++i) {
      loader_.load_weight(shared_[i].stage);
      end_copy_group();
    }
    wait_for_earlier_kernels();
    for (int i = 0; i < kStages - 1; ++i) {
      loader_.load_in(shared_[i].stage);
      end_copy_group();
    }
    int stage = 0;
    int slab = begin_ % split_.num_slabs;
    int tile = begin_ / split_.num_slabs;
    for (int i = begin_; i < end_; ++i) {
      wait_for_copy_groups<kStages - 2>();
      __syncthreads();  // this slab is there, and the slot of the one before is free
      Stage<T, kRows>& free = shared_[stage == 0 ? kStages - 1 : stage - 1].stage;
      loader_.load_weight(free);
      loader_.load_in(free);
      end_copy_group();
      Slot& slot = shared_[stage];
      multiply(slot.stage);
      if (++slab == split_.num_slabs || i + 1 == end_) {
        end_tile(tile++, slot);
        clear();
        slab = 0;
      }
      if (++stage == kStages) stage = 0;
    }
  }

 private:
  __device__ static int lane() { return static_cast<int>(threadIdx.x) % kWarpSize; }
  __device__ static int group() { return static_cast<int>(threadIdx.x) / kWarpSize % kGroups; }
  __device__ static int depth() { return static_cast<int>(threadIdx.x) / (kWarpSize * kGroups); }

  __device__ void multiply(const Stage<T, kRows>& stage) {
    constexpr int kSteps = kSlab / kMmaDepth / kDepths;
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      const int piece = (depth() * kSteps + step) * (kMmaDepth / kPiece);
      std::uint32_t weight[2][4];
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int row = group() * kGroupRows + half * 16 + lane() % 16;
        load_matrices(&stage.weight[row][place_of(lane() % 8, piece + lane() / 16)], weight[half]);
      }
#pragma unroll
      for (int j = 0; j < kRows / 8; j += 2) {
        std::uint32_t in[4];
        const int row = (8 * j + lane() / 16 * 8 + lane() % 8) % kRows;
        load_matrices(&stage.in[row][place_of(lane() % 8, piece + lane() / 8 % 2)], in);
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          mma_m16n8k16<T>(sums_[half][j], weight[half], {in[0], in[1]});
          if constexpr (kRows > 8) {
            mma_m16n8k16<T>(sums_[half][j + 1], weight[half], {in[2], in[3]});
          }
        }
      }
    }
  }

  /// Finishes a tile, or hands over this block's part of it. `slot` is the stage multiplied last.
  __device__ void end_tile(int tile, Slot& slot) {
    const int first = split_.block_of(tile * split_.num_slabs);
    const int last = split_.block_of((tile + 1) * split_.num_slabs - 1);
#pragma unroll
    for (int band = 0; band < kRows / kBand; ++band) {
      __syncthreads();  // nobody needs the slot any more
      gather(band, slot.sums);
      if (first == last) {
        finish_band(tile, band, slot.sums);
      } else {
        store_part(first, band, slot.sums);
      }
    }
    if (first == last || !is_last_block(p_.counters + tile, last - first + 1)) return;
    for (int band = 0; band < kRows / kBand; ++band) {
      add_parts(first, last, band, slot.sums);
      __syncthreads();
      finish_band(tile, band, slot.sums);
      __syncthreads();
    }
  }

  __device__ void clear() {
#pragma unroll
    for (int i = 0; i < 2 * (kRows / 8) * 4; ++i) (&sums_[0][0][0])[i] = 0.0f;
  }

  /// Adds up what the warps of each group have of a band.
  __device__ void gather(int band, Sums& sums) const {
#pragma unroll
    for (int turn = 0; turn < kDepths; ++turn) {
      if (depth() == turn) {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
#pragma unroll
          for (int j = 0; j < kBand / 8; ++j) {
#pragma unroll
            for (int i = 0; i < 4; ++i) {
              const int column = group() * kGroupRows + half * 16 + lane() / 4 + i / 2 * 8;
              float& sum = sums.at[8 * j + lane() % 4 * 2 + i % 2][column];
              const float mine = sums_[half][band * (kBand / 8) + j][i];
              sum = turn == 0 ? mine : sum + mine;
            }
          }
        }
      }
      __syncthreads();
    }
  }

  /// Parts of tiles that several blocks share. A block has at most two: of a tile that an earlier
  /// block began, and of one that a later block ends.
  __device__ float4* part(int first, int block, int band) const {
    const int index = 2 * block + (block == first ? 1 : 0);
    return reinterpret_cast<float4*>(p_.partial_sums) +
           (std::int64_t{index} * (kRows / kBand) + band) * kPartQuads;
  }

  __device__ void store_part(int first, int band, const Sums& sums) const {
    float4* to = part(first, static_cast<int>(blockIdx.x), band);
#pragma unroll
    for (int i = 0; i < kQuadsOfThread; ++i) {
      if (has_quad(i)) to[quad(i)] = quad_of(sums, quad(i));
    }
  }

  /// The sum of all blocks' parts, in the order of the blocks, whoever comes last.
  __device__ void add_parts(int first, int last, int band, Sums& sums) const {
    float4 total[kQuadsOfThread] = {};
#pragma unroll 4
    for (int block = first; block <= last; ++block) {
      const float4* from = part(first, block, band);
#pragma unroll
      for (int i = 0; i < kQuadsOfThread; ++i) {
        if (!has_quad(i)) continue;
        const float4 added = __ldcg(from + quad(i));
        total[i].x += added.x;
        total[i].y += added.y;
        total[i].z += added.z;
        total[i].w += added.w;
      }
    }
#pragma unroll
    for (int i = 0; i < kQuadsOfThread; ++i) {
      if (has_quad(i)) quad_of(sums, quad(i)) = total[i];
    }
  }

  static constexpr int kPartQuads = kBand * kTileRows / 4;
  static constexpr int kQuadsOfThread = (kPartQuads + kThreads - 1) / kThreads;

  __device__ static int quad(int i) { return static_cast<int>(threadIdx.x) + i * kThreads; }
  __device__ static bool has_quad(int i) { return quad(i) < kPartQuads; }
  __device__ static float4& quad_of(Sums& sums, int quad) {
    return *reinterpret_cast<float4*>(&sums.at[quad / (kTileRows / 4)][quad % (kTileRows / 4) * 4]);
  }
  __device__ static const float4& quad_of(const Sums& sums, int quad) {
    return quad_of(const_cast<Sums&>(sums), quad);
  }

  /// Each thread finishes some rows of one feature.
  __device__ void finish_band(int tile, int band, const Sums& sums) const {
    const bool gated = p_.epilogue.gated;
    const int features = gated ? kTileRows / 2 : kTileRows;
    const int index = static_cast<int>(threadIdx.x) % features;
    const std::int64_t feature = std::int64_t{tile} * features + index;
    if (feature >= p_.epilogue.out_features) return;
    const FeatureEpilogue epilogue(p_.epilogue, feature);
    constexpr int kHalf = kGroupRows / 2;
    const int column = gated ? index / kHalf * kGroupRows + index % kHalf : index;
    for (int i = static_cast<int>(threadIdx.x) / features; i < kBand; i += kThreads / features) {
      const std::int64_t row = first_row_ + band * kBand + i;
      if (row >= p_.num_rows) return;
      epilogue.finish(row, sums.at[i][column], gated ? sums.at[i][column + kHalf] : 0.0f);
    }
  }

  const SkinnyGemmParams& p_;
  const Split& split_;
  SharedMemory& shared_;
  int begin_;  ///< the block's first slab
  int end_;
  std::int64_t first_row_;
  SlabLoader<T, kRows> loader_;
  float sums_[2][kRows / 8][4] = {};  ///< of the group's halves
};

/// grid: shares of the weight, rows.
template <typename T, int kRows, int kStages>
__global__ void __launch_bounds__(kThreads, 1)
    skinny_gemm_kernel(const __grid_constant__ Plan plan) {
  using Block = SkinnyBlock<T, kRows, kStages>;
  extern __shared__ uint4 shared[];
  let_next_kernel_start();
  Block(plan, *reinterpret_cast<typename Block::SharedMemory*>(shared)).run();
}

/// Stages within what every GPU has, and where a block may have more.
template <int kRows>
constexpr int kFewStages = 2;
template <int kRows>
constexpr int kManyStages = kRows <= 16   ? 6
                            : kRows <= 32 ? 5
                                          : 4;

template <typename T, int kRows, int kStages>
void launch_rows(const Plan& plan, dim3 grid, cudaStream_t stream) {
  launch(skinny_gemm_kernel<T, kRows, kStages>,
         {.grid = grid,
          .block = dim3(kThreads),
          .shared_bytes = sizeof(typename SkinnyBlock<T, kRows, kStages>::SharedMemory),
          .overlaps = plan.params.overlaps},
         stream, plan);
}

/// The narrowest tile that holds the rows, or the widest.
int tile_rows(std::int64_t num_rows) {
  return num_rows <= 8 ? 8 : num_rows <= 16 ? 16 : num_rows <= 32 ? 32 : kMaxSkinnyRows;
}

Split split_of(const SkinnyGemmParams& params) {
  const std::int64_t weight_rows = params.epilogue.weight_rows();
  Split split{};
  split.num_tiles = static_cast<int>((weight_rows + kTileRows - 1) / kTileRows);
  split.num_slabs = static_cast<int>((params.in_features + kSlab - 1) / kSlab);
  split.num_blocks = split.num_tiles;  // more rows than one tile's: no tile is shared
  if (params.num_rows > kMaxSkinnyRows) return split;
  const std::int64_t shares =
      std::int64_t{split.num_tiles} * ((split.num_slabs + kFewestSlabs - 1) / kFewestSlabs);
  split.num_blocks = static_cast<int>(std::min<std::int64_t>(shares, params.num_multiprocessors));
  return split;
}

}  // namespace

bool skinny_gemm_supports(DType dtype, std::int64_t in_features) {
  return (dtype == DType::float16 || dtype == DType::bfloat16) && in_features % kPiece == 0;
}

std::int64_t skinny_gemm_partial_sums(std::int64_t num_rows, int num_multiprocessors) {
  return std::int64_t{2} * num_multiprocessors * tile_rows(num_rows) * kTileRows;
}

std::int64_t skinny_gemm_counters(std::int64_t weight_rows) {
  // A gated tile has as many gate rows as up rows, of which the last may lack some.
  return weight_rows / kTileRows + 1;
}

void skinny_gemm(const SkinnyGemmParams& params, cudaStream_t stream) {
  const int rows = tile_rows(params.num_rows);
  const Plan plan{params, split_of(params)};
  const dim3 grid(static_cast<unsigned>(plan.split.num_blocks),
                  static_cast<unsigned>((params.num_rows + rows - 1) / rows));
  dispatch_half(params.dtype, "skinny_gemm", [&]<typename T>() {
    dispatch_value(std::integer_sequence<int, 8, 16, 32, kMaxSkinnyRows>{}, rows, "skinny_gemm",
                   "rows", [&]<int kRows>() {
                     using Few = SkinnyBlock<T, kRows, kFewStages<kRows>>;
                     using Many = SkinnyBlock<T, kRows, kManyStages<kRows>>;
                     static_assert(sizeof(typename Few::SharedMemory) + 16 <= kMaxSharedBytes);
                     if (sizeof(typename Many::SharedMemory) + 16 <= max_shared_bytes()) {
                       launch_rows<T, kRows, kManyStages<kRows>>(plan, grid, stream);
                     } else {
                       launch_rows<T, kRows, kFewStages<kRows>>(plan, grid, stream);
                     }
                   });
  });
}

}  // namespace quern::kernels
