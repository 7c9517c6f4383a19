#pragma once

#include "kernels/quant/gemm/quantized_gemm.h"

namespace quern::kernels {

/// Maximum rows of the batch that quantized_gemm_sm90() supports. Beyond, to dequantize the weight
/// once is estimated, not measured, to be as fast as to read it for every 64 rows.
inline constexpr int kMaxQuantizedGemmSm90Rows = 192;

/// Whether quantized_gemm_sm90() supports these sizes, where has_gemm_sm90(): as quantized_gemm(),
/// groups of whole tiles, rows aligned to 16 bytes.
bool quantized_gemm_sm90_supports(const QuantizedGemmParams& params);

/// quantized_gemm() by wgmma: small M, with the epilogue. A warpgroup widens 64 weight rows in
/// registers, from where wgmma takes them; the batch's rows come by TMA, once for all warpgroups of
/// a block. Blocks of a cluster split in_features and add their sums through distributed shared
/// memory. More than 64 rows read the weight again for each 64. Rounding: as quantized_gemv().
/// Errors: see launch.h.
void quantized_gemm_sm90(const QuantizedGemmParams& params, cudaStream_t stream);

}  // namespace quern::kernels
