#include <algorithm>
#include <bit>

#include "kernels/attention/prefill/attention_prefill_sm90.h"
#include "kernels/attention/prefill/prefill_consumer.cuh"
#include "kernels/common/dependent_launch.cuh"
#include "kernels/common/dispatch.h"
#include "kernels/common/launch.h"
#include "kernels/common/sm90/tensor_map.h"

namespace quern::kernels {
namespace {

#if !defined(__CUDA_ARCH__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
constexpr int kLaunchBound = PrefillBlock<__half, 128>::kThreads;
#else
constexpr int kLaunchBound = 32;  // marks the empty kernel for has_attention_prefill_sm90()
#endif

/// grid: persistent blocks, as many as are co-resident.
template <typename T, int kHeadDim>
__global__ void __launch_bounds__(kLaunchBound, 1)
    attention_prefill_sm90_kernel(const __grid_constant__ PrefillSm90KernelParams params) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  using Block = PrefillBlock<T, kHeadDim>;
  let_next_kernel_start();
  extern __shared__ __align__(1024) unsigned char shared_bytes[];
  auto& shared = *reinterpret_cast<typename Block::SharedMemory*>(shared_bytes);
  if (threadIdx.x == 0) Block::init_barriers(shared);
  __syncthreads();
  wait_for_earlier_kernels();
  if (threadIdx.x < 128) {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(Block::kProducerRegisters));
    PrefillProducer<T, kHeadDim>(params, shared).run();
  } else {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(Block::kConsumerRegisters));
    PrefillConsumer<T, kHeadDim>(params.attention, shared).run();
  }
#endif
}

using HeadDims = std::integer_sequence<int, 64, 128>;

int box_slots_of(int block_size) { return std::min(block_size, PrefillBlock<__half, 128>::kSlots); }

CUtensorMap cache_map(const AttentionParams& p, const void* cache) {
  return make_tensor_map({.dtype = p.dtype,
                          .data = cache,
                          .rows = p.num_cache_rows,
                          .columns = p.head_dim,
                          .box_rows = box_slots_of(p.block_size)},
                         "the KV cache");
}

/// Number of kv heads, a power of two, whose keys and values fit into 32 MB of L2.
int section_heads_of(const AttentionParams& p, int max_kv_len) {
  constexpr std::int64_t kBytes = std::int64_t{32} << 20;
  const std::int64_t head_bytes = std::int64_t{4} * std::max(max_kv_len, 1) * p.head_dim;
  const auto heads = static_cast<std::uint64_t>(std::max<std::int64_t>(kBytes / head_bytes, 1));
  return static_cast<int>(
      std::min<std::uint64_t>(std::bit_floor(heads), static_cast<std::uint64_t>(p.num_kv_heads)));
}

}  // namespace

bool has_attention_prefill_sm90() {
  const auto* kernel = reinterpret_cast<const void*>(attention_prefill_sm90_kernel<__half, 128>);
  cudaFuncAttributes attributes{};
  check_launch(cudaFuncGetAttributes(&attributes, kernel), kernel, {});
  return attributes.maxThreadsPerBlock >= PrefillBlock<__half, 128>::kThreads &&
         attributes.binaryVersion == 90 && has_tensor_maps();
}

bool attention_prefill_sm90_supports(const AttentionParams& p) {
  constexpr int kSlots = PrefillBlock<__half, 128>::kSlots;
  const bool boxes_fit =
      p.block_size % kSlots == 0 || (p.block_size >= 8 && kSlots % p.block_size == 0);
  return p.dtype != DType::float32 && (p.head_dim == 64 || p.head_dim == 128) &&
         p.softcap == 0.0f && boxes_fit && storage_of(p) == KvStorage::unscaled;
}

void attention_prefill_sm90(const AttentionPrefillSm90Params& params, cudaStream_t stream) {
  const AttentionParams& p = params.attention;
  PrefillSm90KernelParams kernel_params;
  kernel_params.attention = p;
  kernel_params.maps.keys = cache_map(p, p.keys);
  kernel_params.maps.values = cache_map(p, p.values);
  kernel_params.maps.box_slots = box_slots_of(p.block_size);
  kernel_params.maps.section_heads = section_heads_of(p, params.max_kv_len);
  kernel_params.next_item = params.next_item;
  dispatch_half(p.dtype, "attention_prefill_sm90", [&]<typename T>() {
    dispatch_value(
        HeadDims{}, p.head_dim, "attention_prefill_sm90", "head_dim", [&]<int kHeadDim>() {
          using Block = PrefillBlock<T, kHeadDim>;
          const int items = max_tiles(p, p.num_decode_seqs, Block::kRows) * p.num_kv_heads;
          launch(attention_prefill_sm90_kernel<T, kHeadDim>,
                 {.grid = dim3(std::min(items, params.num_multiprocessors)),
                  .block = dim3(Block::kThreads),
                  .shared_bytes = sizeof(typename Block::SharedMemory),
                  .use_pdl = p.use_pdl},
                 stream, kernel_params);
        });
  });
}

}  // namespace quern::kernels
