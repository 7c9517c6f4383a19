#pragma once

#include <cstdint>

namespace quern::kernels {

/// The sequence of a token row: the last one that begins at or before it. `cu_seqlens_q`
/// [num_seqs + 1].
__device__ inline int sequence_of_row(const std::int32_t* cu_seqlens_q, int num_seqs, int row) {
  int begin = 0;
  int end = num_seqs;
  while (end - begin > 1) {
    const int middle = (begin + end) / 2;
    (cu_seqlens_q[middle] <= row ? begin : end) = middle;
  }
  return begin;
}

}  // namespace quern::kernels
