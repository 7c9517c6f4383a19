#include <algorithm>
#include <limits>
#include <utility>

#include "kernels/attention/dispatch_attention.h"
#include "kernels/common/dependent_launch.cuh"
#include "kernels/common/device_limits.h"
#include "kernels/common/dispatch.h"
#include "kernels/common/launch.h"
#include "kernels/persistent/persistent_step.h"
#include "kernels/persistent/step_attention.cuh"
#include "kernels/persistent/step_gemv.cuh"
#include "kernels/persistent/step_plan.cuh"

namespace quern::kernels {
namespace {

/// Head sizes of the models that decode in microseconds; each costs a kernel.
using HeadDims = std::integer_sequence<int, 64, 128>;

constexpr int kWarps = kRoleWarps;
/// Stages of each warp's ring: as many as hide the memory's latency, and as few as fit on sm_86.
constexpr int kManyStages = 6;
constexpr int kFewStages = 2;
using StageCounts = std::integer_sequence<int, kManyStages, kFewStages>;
/// Of a warp.
constexpr std::size_t kStageBytes = StepStream<kWarps, kFewStages>::kStageBytes;

/// Groups of four elements of a row that a thread keeps in registers: rows of up to 1024 and 4096.
template <int kHeadDim>
constexpr int kHeldGroups = kHeadDim <= 64 ? 1 : 4;

/// Lists the block's tiles of the step's GEMVs.
template <typename T>
__device__ void list_weights(const StepPlan& plan, StepWeight* weights) {
  const int block = static_cast<int>(blockIdx.x);
  const auto blocks = static_cast<int>(gridDim.x);
  for (int i = static_cast<int>(threadIdx.x); i < plan.num_ops; i += kRoleThreads) {
    const PersistentOp& op = plan.ops[i];
    if (op.kind != PersistentOp::Kind::gemv) continue;
    const Epilogue& epilogue = op.gemv.epilogue;
    const TiledWeight weight{static_cast<const std::byte*>(op.gemv.weight),
                             static_cast<int>(op.gemv.in_features * sizeof(T)),
                             static_cast<int>(epilogue.out_features), epilogue.gated};
    const int per_tile = weight.features_of_tile();
    const int tiles = (weight.features + per_tile - 1) / per_tile;
    const int begin = tiles / blocks * block + min(block, tiles % blocks);
    const int end = begin + tiles / blocks + (block < tiles % blocks ? 1 : 0);
    weights[op.gemv_index] = StepWeight(weight, begin, end);
  }
}

/// Counts the calling role of the block; the last one completes the step. Roles read the number of
/// steps before they are counted.
__device__ void finish_step(const StepPlan& plan, std::uint32_t step) {
  sync_role();
  if (threadIdx.x != 0) return;
  const unsigned roles = gridDim.x + static_cast<unsigned>(plan.attention_blocks);
  if (atomicAdd(&plan.counters->finished, 1u) != roles - 1) return;
  plan.counters->finished = 0;
  plan.counters->completed = step;
}

/// All projections of the step.
template <typename T, int kHeadDim, int kStages>
__device__ void multiply_all(const StepPlan& plan, PersistentOp* places, std::byte* shared) {
  __shared__ TileSums<kWarps> sums[2];
  __shared__ Moments moments[kWarps];
  std::byte* const residual = shared + plan.row_bytes;
  std::byte* const listed_bytes = residual + plan.residual_bytes;
  auto* listed = reinterpret_cast<StepWeight*>(listed_bytes);
  auto* ring = reinterpret_cast<std::byte*>(listed + plan.num_weights);
  list_weights<T>(plan, listed);
  HeldOps ops(plan, places, 0);
  sync_role();
  const int warp = static_cast<int>(threadIdx.x) / kWarpSize;
  StepStream<kWarps, kStages> stream({listed, plan.num_weights},
                                     ring + warp * kStages * kStageBytes);
  GemvMemory<kWarps> memory{{reinterpret_cast<std::uint32_t*>(shared)},
                            reinterpret_cast<float*>(residual),
                            sums,
                            &moments};
  const std::uint32_t step = plan.counters->completed + 1;
#pragma unroll 1
  for (; !ops.at_end(); ops.move_on()) {
    const PersistentOp& op = ops.use();
    multiply_share<T, kHeldGroups<kHeadDim>>(op, listed[op.gemv_index], step, stream, memory);
  }
  finish_step(plan, step);
}

/// All attention of the step. Keys and values of a layer are loaded while the one before it is
/// multiplied.
template <typename T, int kHeadDim>
__device__ void attend_all(const StepPlan& plan, PersistentOp* places, uint4* shared) {
  __shared__ StepSequence sequence;
  HeldOps ops(plan, places, plan.first_attention);
  const std::uint32_t step = plan.counters->completed + 1;
  read_sequence(plan.ops[plan.first_attention].attention.params.attention, sequence);
#pragma unroll 1
  for (; !ops.at_end(); ops.move_on()) {
    sync_role();
    attend_to_items<T, kHeadDim>(ops.use(), step, sequence, plan.attention_blocks, shared);
  }
  finish_step(plan, step);
}

template <typename T, int kHeadDim, int kStages>
__global__ void __launch_bounds__(kStepRoles* kRoleThreads, 1)
    persistent_step_kernel(const __grid_constant__ StepPlan plan) {
  extern __shared__ uint4 shared[];
  __shared__ alignas(16) unsigned char place_bytes[kStepRoles][kOpsHeld * sizeof(PersistentOp)];
  auto* places = reinterpret_cast<PersistentOp*>(place_bytes[threadIdx.y]);
  if (step_role() == StepRole::multiply) {
    auto* bytes = reinterpret_cast<std::byte*>(shared);
    multiply_all<T, kHeadDim, kStages>(plan, places, bytes + plan.attention_bytes);
  } else if (static_cast<int>(blockIdx.x) < plan.attention_blocks) {
    attend_all<T, kHeadDim>(plan, places, shared);
  }
  let_next_kernel_start();
}

struct Sizes {
  int num_weights = 0;
  // See GemvMemory:
  std::size_t row_bytes = 0;
  std::size_t residual_bytes = 0;
  std::size_t attention_bytes = 0;
  int attention_items = 0;
  int head_dim = 64;
  DType dtype = DType::float16;

  /// Dynamic shared memory of a block with that many stages.
  std::size_t shared_bytes(int num_stages) const {
    return attention_bytes + row_bytes + residual_bytes + sizeof(StepWeight) * num_weights +
           kWarps * kStageBytes * static_cast<std::size_t>(num_stages);
  }
};

std::size_t round_up(std::size_t bytes, std::size_t unit) {
  return (bytes + unit - 1) / unit * unit;
}

Sizes sizes_of(std::span<const PersistentOp> ops) {
  Sizes sizes;
  for (const PersistentOp& op : ops) {
    if (op.kind == PersistentOp::Kind::gemv) {
      ++sizes.num_weights;
      const auto in_features = static_cast<std::size_t>(op.gemv.in_features);
      sizes.row_bytes = std::max(
          sizes.row_bytes, round_up(in_features * dtype_bytes(op.gemv.dtype), 16 * kKBlockVectors));
      if (op.gemv.in == nullptr) {
        sizes.residual_bytes =
            std::max(sizes.residual_bytes, round_up(sizeof(float) * in_features, 16));
      }
      sizes.dtype = op.gemv.dtype;
    } else {
      const AttentionParams& p = op.attention.params.attention;
      sizes.head_dim = p.head_dim;
      sizes.attention_items = std::max(sizes.attention_items, op.num_items);
      const int heads = std::min(kDecodeHeads, p.num_heads / p.num_kv_heads);
      // The same for both 16-bit types.
      const std::size_t bytes = p.head_dim == 64 ? step_attention_bytes<__half, 64>(heads)
                                                 : step_attention_bytes<__half, 128>(heads);
      sizes.attention_bytes = std::max(sizes.attention_bytes, round_up(bytes, 16));
    }
  }
  return sizes;
}

/// Stages of each warp's ring, 0 if too few fit into shared memory.
int num_stages(const Sizes& sizes, std::size_t shared_bytes) {
  constexpr std::size_t kStaticBytes =
      kStepRoles * kOpsHeld * sizeof(PersistentOp) + sizeof(TileSums<kWarps>[2]) + 512;
  const std::size_t most = shared_bytes > 0 ? shared_bytes : max_shared_bytes();
  for (const int stages : {kManyStages, kFewStages}) {
    if (sizes.shared_bytes(stages) + kStaticBytes <= most) return stages;
  }
  return 0;
}

/// The op's output: where gemv() or attention_decode() would write it.
const void* output_of(const PersistentOp& op) {
  return op.kind == PersistentOp::Kind::gemv ? op.gemv.epilogue.out
                                             : op.attention.params.attention.out;
}

/// What the op takes from the one before it.
const void* input_of(const PersistentOp& op) {
  if (op.kind == PersistentOp::Kind::attention) return op.attention.params.attention.qkv;
  return op.gemv.in != nullptr ? op.gemv.in : op.gemv.norm.delta;
}

std::int64_t elements_of_output(const PersistentOp& op) {
  if (op.kind == PersistentOp::Kind::gemv) return op.gemv.epilogue.out_features;
  const AttentionParams& p = op.attention.params.attention;
  return std::int64_t{p.num_heads} * p.head_dim;
}

/// Pairs of an output, aligned for loads of two.
std::int64_t pairs_of_output(const PersistentOp& op) {
  return (elements_of_output(op) + 3) / 4 * 2;
}

bool is_attention(const PersistentOp& op) { return op.kind == PersistentOp::Kind::attention; }

bool is_norm(const PersistentOp& op) {
  return op.kind == PersistentOp::Kind::gemv && op.gemv.in == nullptr;
}

/// Whether the ops are a chain, see persistent_step_supports().
bool is_chain(std::span<const PersistentOp> ops) {
  if (ops.empty() || !is_norm(ops[0])) return false;
  const void* residual = ops[0].gemv.norm.residual;
  for (std::size_t i = 0; i < ops.size(); ++i) {
    if (i > 0 &&
        (input_of(ops[i]) != output_of(ops[i - 1]) || elements_of_output(ops[i - 1]) % 4 != 0)) {
      return false;
    }
    if (!is_norm(ops[i])) continue;
    const GemvParams& p = ops[i].gemv;
    if (p.norm.residual != residual || p.in_features % 4 != 0) return false;
    residual = p.residual_out != nullptr ? p.residual_out
                                         : (p.norm.delta != nullptr ? nullptr : p.norm.residual);
  }
  return true;
}

}  // namespace

PersistentOp::PersistentOp(const GemvParams& params) : gemv(params) {}

PersistentOp::PersistentOp(const AttentionDecodeParams& params) : kind(Kind::attention) {
  const AttentionParams& p = params.attention;
  attention.params = params;
  attention.rows = decode_counters(p.num_heads, p.num_kv_heads);
  const int rows = attention.rows * p.num_decode_seqs;
  attention.splits =
      std::clamp(params.num_multiprocessors / rows, 1, decode_splits(params.max_slots));
  num_items = attention.splits * rows;
}

bool persistent_step_supports(std::span<const PersistentOp> ops, std::size_t shared_bytes) {
  const Sizes sizes = sizes_of(ops);
  const auto is_known = [&](const PersistentOp& op) {
    if (op.kind == PersistentOp::Kind::gemv) {
      const std::int64_t bytes = op.gemv.epilogue.out_features * op.gemv.in_features *
                                 static_cast<std::int64_t>(dtype_bytes(sizes.dtype));
      return op.gemv.num_rows == 1 && op.gemv.dtype == sizes.dtype &&
             (!op.gemv.epilogue.gated || bytes <= std::numeric_limits<int>::max());
    }
    const AttentionParams& p = op.attention.params.attention;
    return p.num_decode_seqs == 1 && p.num_seqs == 1 && p.dtype == sizes.dtype &&
           storage_of(p) == KvStorage::unscaled && p.head_dim == sizes.head_dim &&
           contains(HeadDims{}, p.head_dim);
  };
  return sizes.dtype != DType::float32 && std::all_of(ops.begin(), ops.end(), is_known) &&
         is_chain(ops) && num_stages(sizes, shared_bytes) > 0;
}

bool persistent_step_gains(std::span<const PersistentOp> ops, const StepLaunchCosts& costs) {
  constexpr std::int64_t kSmallWeight = 64 << 20;  // bytes, on average
  constexpr double kBytesPerClock = 8.0;           // that a block multiplies, and more
  constexpr double kEvenShare = 0.95;
  std::int64_t bytes = 0;
  std::int64_t bytes_of_slowest = 0;
  std::int64_t weights = 0;
  for (const PersistentOp& op : ops) {
    if (is_attention(op)) continue;
    const std::int64_t row_bytes =
        op.gemv.in_features * static_cast<std::int64_t>(dtype_bytes(op.gemv.dtype));
    const std::int64_t rows = op.gemv.epilogue.weight_rows();
    const std::int64_t tiles = (rows + kTileRows - 1) / kTileRows;
    const std::int64_t most_tiles =
        (tiles + costs.num_multiprocessors - 1) / costs.num_multiprocessors;
    bytes += rows * row_bytes;
    bytes_of_slowest += most_tiles * kTileRows * row_bytes;
    ++weights;
  }
  const double share = static_cast<double>(bytes) / static_cast<double>(bytes_of_slowest) /
                       costs.num_multiprocessors;
  const bool is_told = costs.memory_bytes_per_clock > 0.0;
  const bool streams = bytes <= weights * kSmallWeight ||
                       (is_told && costs.memory_bytes_per_clock <= kBytesPerClock);
  return streams && (!costs.launches_overlap || share >= kEvenShare);
}

std::size_t persistent_step_bytes(std::span<const PersistentOp> ops) {
  std::int64_t pairs = 0;
  for (const PersistentOp& op : ops.first(ops.size() - 1)) pairs += pairs_of_output(op);
  return sizeof(StepCounters) + sizeof(FlaggedPair) * static_cast<std::size_t>(pairs);
}

void link_ops(std::span<PersistentOp> ops, std::byte* memory) {
  auto* pairs = reinterpret_cast<FlaggedPair*>(memory + sizeof(StepCounters));
  int num_gemvs = 0;
  PersistentOp* last_sum = nullptr;
  const auto num_ops = static_cast<int>(ops.size());
  int next[] = {num_ops, num_ops};  // of each kind
  int after_next[] = {num_ops, num_ops};
  for (int i = num_ops - 1; i >= 0; --i) {
    PersistentOp& op = ops[static_cast<std::size_t>(i)];
    const auto kind = static_cast<int>(op.kind);
    op.next = std::exchange(next[kind], i);
    op.after_next = std::exchange(after_next[kind], op.next);
  }
  for (std::size_t i = 0; i < ops.size(); ++i) {
    PersistentOp& op = ops[i];
    if (op.kind == PersistentOp::Kind::gemv) op.gemv_index = num_gemvs++;
    op.in = i > 0 ? ops[i - 1].out : nullptr;
    op.out = i + 1 < ops.size() ? pairs : nullptr;
    pairs += pairs_of_output(op);
    if (is_norm(op) && op.gemv.residual_out != nullptr) last_sum = &op;
  }
  if (last_sum != nullptr) last_sum->stores_residual = true;
}

void persistent_step(const PersistentStepParams& params, cudaStream_t stream) {
  const Sizes sizes = sizes_of(params.ops);
  StepPlan plan{};
  plan.ops = params.device_ops;
  plan.counters = reinterpret_cast<StepCounters*>(params.memory);
  plan.num_ops = static_cast<int>(params.ops.size());
  plan.first_attention = static_cast<int>(
      std::find_if(params.ops.begin(), params.ops.end(), is_attention) - params.ops.begin());
  plan.num_weights = sizes.num_weights;
  plan.attention_blocks = std::min(sizes.attention_items, params.num_multiprocessors);
  plan.attention_bytes = static_cast<int>(sizes.attention_bytes);
  plan.row_bytes = static_cast<int>(sizes.row_bytes);
  plan.residual_bytes = static_cast<int>(sizes.residual_bytes);
  const int stages = num_stages(sizes, params.shared_bytes);
  const LaunchShape shape{.grid = dim3(static_cast<unsigned>(params.num_multiprocessors)),
                          .block = dim3(kRoleThreads, kStepRoles),
                          .shared_bytes = sizes.shared_bytes(stages)};
  dispatch_half(sizes.dtype, "persistent_step", [&]<typename T>() {
    dispatch_value(HeadDims{}, sizes.head_dim, "persistent_step", "head_dim", [&]<int kHeadDim>() {
      dispatch_value(StageCounts{}, stages, "persistent_step", "stages", [&]<int kStages>() {
        launch(persistent_step_kernel<T, kHeadDim, kStages>, shape, stream, plan);
      });
    });
  });
}

}  // namespace quern::kernels
