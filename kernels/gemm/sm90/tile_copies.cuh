#pragma once

#include <cuda.h>

#include <cstdint>

#include "kernels/common/async_copy.cuh"

namespace quern::kernels {

/// copy_box_async() of a map of tiles, [tiles along the inputs, tile rows, rows, bytes]: the box
/// that begins at a tile row and is of one tile's inputs. kBlocks: how many blocks of the cluster
/// get it, from the first on.
template <int kBlocks>
__device__ inline void copy_tiles_async(void* shared, const CUtensorMap* map, int tile_row,
                                        int tile, std::uint64_t* barrier) {
  if constexpr (kBlocks == 1) {
    asm volatile(
        "cp.async.bulk.tensor.4d.shared::cluster.global.mbarrier::complete_tx::bytes "
        "[%0], [%1, {%2, %2, %3, %4}], [%5];" ::"r"(shared_address(shared)),
        "l"(map), "r"(0), "r"(tile_row), "r"(tile), "r"(shared_address(barrier))
        : "memory");
  } else {
    constexpr std::uint16_t kAll = (1 << kBlocks) - 1;
    asm volatile(
        "cp.async.bulk.tensor.4d.shared::cluster.global.mbarrier::complete_tx::bytes"
        ".multicast::cluster [%0], [%1, {%2, %2, %3, %4}], [%5], %6;" ::"r"(shared_address(shared)),
        "l"(map), "r"(0), "r"(tile_row), "r"(tile), "r"(shared_address(barrier)), "h"(kAll)
        : "memory");
  }
}

}  // namespace quern::kernels
