#include "kernels/common/sm90/tensor_map.h"

#include <cuda_runtime_api.h>

#include <string>

#include "kernels/common/errors.h"
#include "kernels/common/sm90/tensor_map_encoder.h"

namespace quern::kernels {

decltype(&cuTensorMapEncodeTiled) tensor_map_encoder() {
  static const auto encoder = [] {
    void* function = nullptr;
    cudaDriverEntryPointQueryResult found{};
#if CUDART_VERSION >= 12050
    const cudaError_t status = cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function,
                                                                12000, cudaEnableDefault, &found);
#else
    const cudaError_t status =
        cudaGetDriverEntryPoint("cuTensorMapEncodeTiled", &function, cudaEnableDefault, &found);
#endif
    if (status != cudaSuccess || found != cudaDriverEntryPointSuccess) function = nullptr;
    return reinterpret_cast<decltype(&cuTensorMapEncodeTiled)>(function);
  }();
  return encoder;
}

void check_tensor_map(CUresult status, const char* what) {
  if (status == CUDA_SUCCESS) return;
  throw LaunchError("describing " + std::string(what) + " for tensor copies failed: error " +
                    std::to_string(static_cast<int>(status)));
}

bool has_tensor_maps() { return tensor_map_encoder() != nullptr; }

CUtensorMap make_tensor_map(const TensorMapParams& params, const char* what) {
  const bool is_bytes = params.dtype == DType::uint8;
  const int element_bytes = is_bytes ? 1 : 2;
  const auto columns = static_cast<cuuint64_t>(params.columns);
  const cuuint64_t sizes[] = {columns, static_cast<cuuint64_t>(params.rows)};
  const cuuint64_t strides[] = {columns * static_cast<cuuint64_t>(element_bytes)};
  const cuuint32_t box[] = {static_cast<cuuint32_t>(params.box_columns),
                            static_cast<cuuint32_t>(params.box_rows)};
  const cuuint32_t steps[] = {1, 1};
  CUtensorMap map;
  const CUresult status = tensor_map_encoder()(
      &map,
      is_bytes                         ? CU_TENSOR_MAP_DATA_TYPE_UINT8
      : params.dtype == DType::float16 ? CU_TENSOR_MAP_DATA_TYPE_FLOAT16
                                       : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16,
      2, const_cast<void*>(params.data), sizes, strides, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE,
      params.box_columns * element_bytes == 128 ? CU_TENSOR_MAP_SWIZZLE_128B
                                                : CU_TENSOR_MAP_SWIZZLE_NONE,
      CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  check_tensor_map(status, what);
  return map;
}

}  // namespace quern::kernels
