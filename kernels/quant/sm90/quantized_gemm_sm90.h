#pragma once

#include "kernels/quant/gemm/quantized_gemm.h"

namespace quern::kernels {

/// Whether quantized_gemm_sm90() supports these sizes, where has_gemm_sm90(): as quantized_gemm(),
/// groups of whole tiles, rows aligned to 16 bytes.
bool quantized_gemm_sm90_supports(const QuantizedGemmParams& params);

/// quantized_gemm() by wgmma: small M, with the epilogue. A warpgroup widens 64 weight rows in
/// registers, from where wgmma takes them; the batch's rows come by TMA, once for all warpgroups of
/// a block. Blocks of a cluster split in_features and add their sums through distributed shared
/// memory. Rounding: as quantized_gemv(). Errors: see launch.h.
void quantized_gemm_sm90(const QuantizedGemmParams& params, cudaStream_t stream);

}  // namespace quern::kernels
