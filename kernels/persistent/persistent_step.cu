#include <algorithm>

#include "kernels/attention/dispatch_attention.h"
#include "kernels/common/dependent_launch.cuh"
#include "kernels/common/device_limits.h"
#include "kernels/common/dispatch.h"
#include "kernels/common/launch.h"
#include "kernels/persistent/persistent_step.h"
#include "kernels/persistent/step_attention.cuh"
#include "kernels/persistent/step_gemv.cuh"

namespace quern::kernels {
namespace {

/// Head sizes of the models that decode in microseconds; each costs a kernel.
using HeadDims = std::integer_sequence<int, 64, 128>;

/// As few warps as attention takes, so that a thread has 255 registers.
constexpr int kWarps = kDecodeHeads;
constexpr int kThreads = kWarpSize * kWarps;
/// Ops that are in shared memory: the current one, those after it that warps have reached, and the
/// one that is fetched.
constexpr int kOpsHeld = 4;
using Stream = StepStream<kWarps>;

/// See multiply_share(): where attention leaves registers.
template <int kHeadDim>
constexpr int kHeldKBlocks = kHeadDim <= 64 ? 2 : 0;

/// In device memory, before the outputs.
struct alignas(16) StepCounters {
  std::uint32_t completed;  ///< steps
  std::uint32_t finished;   ///< blocks of this one
};

/// Kernel argument.
struct Plan {
  const PersistentOp* ops;
  StepCounters* counters;
  const PersistentOp* attention;  ///< one such op, or null
  int num_ops;
  int num_weights;
  int num_stages;  ///< of each warp's ring
  // Vectors of shared memory:
  int work_vectors;  ///< for a row, or for attention
  int residual_vectors;
};

/// Copies an op to shared memory; run by a warp.
__device__ void fetch_op(const Plan& plan, int index, PersistentOp* held) {
  static_assert(sizeof(PersistentOp) % 8 == 0);
  constexpr int kWords = sizeof(PersistentOp) / 8;
  const auto* from = reinterpret_cast<const std::uint64_t*>(plan.ops + index);
  auto* to = reinterpret_cast<std::uint64_t*>(held + index % kOpsHeld);
  for (int i = static_cast<int>(threadIdx.x) % kWarpSize; i < kWords; i += kWarpSize) {
    to[i] = from[i];
  }
}

/// Brings an op that is soon fetched to L2; run by a warp.
__device__ void prefetch_op(const Plan& plan, int index) {
  constexpr int kLineBytes = 128;
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  if (index >= plan.num_ops || lane * kLineBytes >= static_cast<int>(sizeof(PersistentOp))) return;
  prefetch_to_l2(reinterpret_cast<const std::byte*>(plan.ops + index) + lane * kLineBytes);
}

/// Lists the weights of the step's GEMVs, with the block's tiles.
template <typename T>
__device__ void list_weights(const Plan& plan, StepWeight* weights) {
  const int block = static_cast<int>(blockIdx.x);
  const int blocks = static_cast<int>(gridDim.x);
  for (int i = static_cast<int>(threadIdx.x); i < plan.num_ops; i += kThreads) {
    const PersistentOp& op = plan.ops[i];
    if (op.kind != PersistentOp::Kind::gemv) continue;
    const Epilogue& epilogue = op.gemv.epilogue;
    const TiledWeight weight{static_cast<const std::byte*>(op.gemv.weight),
                             static_cast<int>(op.gemv.in_features * sizeof(T)),
                             static_cast<int>(epilogue.out_features), epilogue.gated};
    const int per_tile = weight.features_of_tile();
    const int tiles = (weight.features + per_tile - 1) / per_tile;
    const int begin = tiles / blocks * block + min(block, tiles % blocks);
    weights[op.gemv_index] = {weight, begin,
                              begin + tiles / blocks + (block < tiles % blocks ? 1 : 0)};
  }
}

/// Counts the block; the last one completes the step. Blocks read the number of steps before they
/// are counted.
__device__ void finish_step(StepCounters& counters, std::uint32_t step) {
  __syncthreads();
  if (threadIdx.x != 0) return;
  if (atomicAdd(&counters.finished, 1u) != gridDim.x - 1) return;
  counters.finished = 0;
  counters.completed = step;
}

template <typename T, int kHeadDim>
__global__ void __launch_bounds__(kThreads, 1)
    persistent_step_kernel(const __grid_constant__ Plan plan) {
  extern __shared__ uint4 shared[];
  __shared__ alignas(16) unsigned char held_bytes[kOpsHeld * sizeof(PersistentOp)];
  __shared__ TileSums<kWarps> sums[2];
  auto* held = reinterpret_cast<PersistentOp*>(held_bytes);
  const int warp = static_cast<int>(threadIdx.x) / kWarpSize;
  const int ring_bytes = plan.num_stages * PaddedKBlock::kBytes;
  uint4* work = shared + kWarps * ring_bytes / 16;
  uint4* residual = work + plan.work_vectors;
  auto* listed = reinterpret_cast<StepWeight*>(residual + plan.residual_vectors);
  list_weights<T>(plan, listed);
  if (warp == kWarps - 1) {
    fetch_op(plan, 0, held);
    if (plan.num_ops > 1) fetch_op(plan, 1, held);
  }
  __syncthreads();
  Stream stream({listed, plan.num_weights},
                reinterpret_cast<std::byte*>(shared) + warp * ring_bytes, plan.num_stages);
  GemvMemory<kWarps> memory{work, reinterpret_cast<float*>(residual), sums};
  wait_for_earlier_kernels();
  const std::uint32_t step = plan.counters->completed + 1;
  __shared__ StepSequence sequence;
  if (plan.attention != nullptr)
    read_sequence(plan.attention->attention.params.attention, sequence);
#pragma unroll 1
  for (int index = 0; index < plan.num_ops; ++index) {
    const PersistentOp& op = held[index % kOpsHeld];
    // In each op all warps meet at a barrier: none is still at the op whose place this one takes.
    if (warp == kWarps - 1 && index + 2 < plan.num_ops) {
      fetch_op(plan, index + 2, held);
      prefetch_op(plan, index + 5);
    }
    if (op.kind == PersistentOp::Kind::gemv) {
      multiply_share<T, kWarps, kHeldKBlocks<kHeadDim>>(op, listed[op.gemv_index], step, stream,
                                                        memory);
    } else {
      __syncthreads();  // `work` is the row of the GEMV before
      attend_to_items<T, kHeadDim>(op, step, sequence, work);
    }
  }
  finish_step(*plan.counters, step);
  let_next_kernel_start();
}

struct Sizes {
  int num_weights = 0;
  std::size_t row_bytes = 0;  ///< of the longest row
  std::size_t residual_bytes = 0;
  std::size_t attention_bytes = 0;
  int head_dim = 64;
  DType dtype = DType::float16;

  std::size_t work_bytes() const { return std::max(row_bytes, attention_bytes); }
  std::size_t weight_bytes() const { return sizeof(StepWeight) * num_weights; }
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
        sizes.residual_bytes = std::max(sizes.residual_bytes, sizeof(float) * in_features);
      }
      sizes.dtype = op.gemv.dtype;
    } else {
      const AttentionParams& p = op.attention.params.attention;
      sizes.head_dim = p.head_dim;
      const int heads = std::min(kDecodeHeads, p.num_heads / p.num_kv_heads);
      // The same for both 16-bit types.
      const std::size_t bytes = p.head_dim == 64 ? step_attention_bytes<__half, 64>(heads)
                                                 : step_attention_bytes<__half, 128>(heads);
      sizes.attention_bytes = std::max(sizes.attention_bytes, round_up(bytes, 16));
    }
  }
  sizes.residual_bytes = round_up(sizes.residual_bytes, 16);
  return sizes;
}

constexpr std::size_t kStageBytes = std::size_t{kWarps} * PaddedKBlock::kBytes;

/// Stages of each warp's ring, 0 if too few fit into shared memory.
int num_stages(const Sizes& sizes, std::size_t shared_bytes) {
  constexpr std::size_t kStaticBytes =
      kOpsHeld * sizeof(PersistentOp) + sizeof(TileSums<kWarps>[2]) + 2048;
  const std::size_t used =
      kStaticBytes + sizes.work_bytes() + sizes.residual_bytes + sizes.weight_bytes();
  const std::size_t most = shared_bytes > 0 ? shared_bytes : max_shared_bytes();
  if (used > most) return 0;
  const auto stages = static_cast<int>((most - used) / kStageBytes);
  for (const int known : Stream::kStages) {
    if (stages >= known) return known;
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
  const auto fits = [&](const PersistentOp& op) {
    if (op.kind == PersistentOp::Kind::gemv) {
      return op.gemv.num_rows == 1 && op.gemv.dtype == sizes.dtype;
    }
    const AttentionParams& p = op.attention.params.attention;
    return p.num_decode_seqs == 1 && p.num_seqs == 1 && p.dtype == sizes.dtype &&
           storage_of(p) == KvStorage::unscaled && p.head_dim == sizes.head_dim &&
           contains(HeadDims{}, p.head_dim);
  };
  return sizes.dtype != DType::float32 && std::all_of(ops.begin(), ops.end(), fits) &&
         is_chain(ops) && num_stages(sizes, shared_bytes) > 0;
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
  Plan plan{};
  plan.ops = params.device_ops;
  plan.counters = reinterpret_cast<StepCounters*>(params.memory);
  plan.num_ops = static_cast<int>(params.ops.size());
  const auto attention = std::find_if(params.ops.begin(), params.ops.end(), is_attention);
  if (attention != params.ops.end()) {
    plan.attention = params.device_ops + (attention - params.ops.begin());
  }
  plan.num_weights = sizes.num_weights;
  plan.num_stages = num_stages(sizes, params.shared_bytes);
  plan.work_vectors = static_cast<int>(sizes.work_bytes() / 16);
  plan.residual_vectors = static_cast<int>(sizes.residual_bytes / 16);
  const LaunchShape shape{.grid = dim3(static_cast<unsigned>(params.num_multiprocessors)),
                          .block = dim3(kThreads),
                          .shared_bytes = static_cast<std::size_t>(plan.num_stages) * kStageBytes +
                                          sizes.work_bytes() + sizes.residual_bytes +
                                          sizes.weight_bytes(),
                          .use_pdl = params.use_pdl};
  dispatch_half(sizes.dtype, "persistent_step", [&]<typename T>() {
    dispatch_value(HeadDims{}, sizes.head_dim, "persistent_step", "head_dim", [&]<int kHeadDim>() {
      launch(persistent_step_kernel<T, kHeadDim>, shape, stream, plan);
    });
  });
}

}  // namespace quern::kernels
