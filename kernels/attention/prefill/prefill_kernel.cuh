#pragma once

#include "kernels/attention/attention.cuh"
#include "kernels/attention/dispatch_attention.h"
#include "kernels/attention/prefill/attention_prefill.h"
#include "kernels/attention/prefill/prefill_launch.h"
#include "kernels/attention/prefill/prefill_tile.cuh"
#include "kernels/common/dependent_launch.cuh"
#include "kernels/common/launch.h"

namespace quern::kernels {

/// grid: kv heads; query tiles in reverse, since the last ones attend to the most slots.
template <typename T, int kHeadDim, KvStorage kStorage>
__global__ void __launch_bounds__(PrefillTile<T, kHeadDim, kStorage>::kThreads, 2)
    attention_prefill_kernel(const __grid_constant__ AttentionParams p) {
  let_next_kernel_start();
  using Tile = PrefillTile<T, kHeadDim, kStorage>;
  extern __shared__ __align__(16) unsigned char shared_bytes[];
  auto& shared = *reinterpret_cast<typename Tile::SharedMemory*>(shared_bytes);
  const int index = static_cast<int>(gridDim.y - 1 - blockIdx.y);
  const QueryTile tile = find_tile(p, p.num_decode_seqs, Tile::kRows, index);
  wait_for_earlier_kernels();
  if (tile.count == 0) return;
  if (!tile.sequence.running) {
    zero_rows<T>(p, tile, static_cast<int>(blockIdx.x));
    return;
  }
  Tile(p, tile, static_cast<int>(blockIdx.x), shared).run();
}

template <KvStorage kStorage>
void launch_prefill(const AttentionParams& params, cudaStream_t stream) {
  dispatch_mma(params.dtype, params.head_dim, "attention_prefill", [&]<typename T, int kHeadDim>() {
    using Tile = PrefillTile<T, kHeadDim, kStorage>;
    const int tiles = max_tiles(params, params.num_decode_seqs, Tile::kRows);
    launch(attention_prefill_kernel<T, kHeadDim, kStorage>,
           {.grid = dim3(params.num_kv_heads, tiles),
            .block = dim3(Tile::kThreads),
            .shared_bytes = sizeof(typename Tile::SharedMemory),
            .use_pdl = params.use_pdl},
           stream, params);
  });
}

}  // namespace quern::kernels
