#include <algorithm>

#include "kernels/common/launch.h"
#include "kernels/memory/copy_blocks.h"

namespace quern::kernels {
namespace {

constexpr int kCopyThreads = 256;
constexpr int kWordsPerThread = 4;

/// Grid: slices of a KV block; copies; keys and values of each layer.
template <typename Word>
__global__ void __launch_bounds__(kCopyThreads)
    copy_blocks_kernel(const __grid_constant__ CopyBlocksParams p) {
  const bool is_key = blockIdx.z % 2 == 0;
  std::byte* cache = is_key ? p.keys : p.values;
  const std::int64_t block_bytes = is_key ? p.key_block_bytes : p.value_block_bytes;
  const std::int64_t first_block = (blockIdx.z / 2) * p.num_blocks;
  const auto block = [&](std::int32_t index) {
    return reinterpret_cast<Word*>(cache + (first_block + index) * block_bytes);
  };
  const Word* source = block(p.copies[blockIdx.y].source);
  Word* destination = block(p.copies[blockIdx.y].destination);
  const std::int64_t num_words = block_bytes / static_cast<std::int64_t>(sizeof(Word));
  const std::int64_t first =
      std::int64_t{blockIdx.x} * kCopyThreads * kWordsPerThread + threadIdx.x;
#pragma unroll
  for (int i = 0; i < kWordsPerThread; ++i) {
    const std::int64_t word = first + i * kCopyThreads;
    if (word < num_words) destination[word] = source[word];
  }
}

bool is_aligned(const void* data, std::int64_t bytes) {
  return reinterpret_cast<std::uintptr_t>(data) % bytes == 0;
}

template <typename Word>
void launch_copies(const CopyBlocksParams& params, cudaStream_t stream) {
  constexpr std::int64_t kBytes = std::int64_t{kCopyThreads} * kWordsPerThread * sizeof(Word);
  const std::int64_t block_bytes = std::max(params.key_block_bytes, params.value_block_bytes);
  const LaunchShape shape{.grid = dim3(static_cast<unsigned>((block_bytes + kBytes - 1) / kBytes),
                                       static_cast<unsigned>(params.num_copies),
                                       2 * static_cast<unsigned>(params.num_layers)),
                          .block = dim3(kCopyThreads)};
  launch(copy_blocks_kernel<Word>, shape, stream, params);
}

}  // namespace

void copy_blocks(const CopyBlocksParams& params, cudaStream_t stream) {
  if (params.num_copies == 0 || params.num_layers == 0) return;
  if (params.key_block_bytes + params.value_block_bytes == 0) return;
  const bool in_16_bytes = params.key_block_bytes % 16 == 0 && params.value_block_bytes % 16 == 0 &&
                           is_aligned(params.keys, 16) && is_aligned(params.values, 16);
  if (in_16_bytes) return launch_copies<uint4>(params, stream);
  const bool in_2_bytes = params.key_block_bytes % 2 == 0 && params.value_block_bytes % 2 == 0;
  in_2_bytes ? launch_copies<std::uint16_t>(params, stream)
             : launch_copies<std::uint8_t>(params, stream);
}

}  // namespace quern::kernels
