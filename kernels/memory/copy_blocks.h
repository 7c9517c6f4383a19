#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

namespace quern::kernels {

/// Maximum copies per launch: the list is a kernel argument, of which there are 4 KB.
inline constexpr int kMaxBlockCopies = 256;

/// See graph/step.h's BlockCopy.
struct BlockCopy {
  std::int32_t source;
  std::int32_t destination;
};

struct CopyBlocksParams {
  std::byte* keys = nullptr;    ///< [num_layers][num_blocks][key_block_bytes]
  std::byte* values = nullptr;  ///< [num_layers][num_blocks][value_block_bytes]
  int num_layers = 0;
  std::int64_t num_blocks = 0;
  std::int64_t key_block_bytes = 0;
  std::int64_t value_block_bytes = 0;
  int num_copies = 0;
  BlockCopy copies[kMaxBlockCopies];
};

/// Copies KV blocks in all layers. No block may be the destination of two copies, or both source
/// and destination. Errors: see launch.h.
void copy_blocks(const CopyBlocksParams& params, cudaStream_t stream);

}  // namespace quern::kernels
