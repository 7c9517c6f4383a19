#include "backend/cuda/ops/ops.h"
#include "backend/cuda/stream/check_cuda.h"

namespace quern::cuda {

void run_copy(ValueId in, ValueId out, const Step& step, const OpContext& context) {
  const Tensor& source = step.value(in);
  const Tensor& destination = step.value(out);
  QUERN_CHECK(source.rows == destination.rows && source.cols == destination.cols &&
              source.dtype == destination.dtype);
  QUERN_CHECK(source.row_stride == source.cols && destination.row_stride == destination.cols);
  const std::size_t size_bytes =
      static_cast<std::size_t>(source.rows * source.cols) * dtype_bytes(source.dtype);
  if (size_bytes == 0) return;
  check_cuda(cudaMemcpyAsync(destination.data, source.data, size_bytes, cudaMemcpyDeviceToDevice,
                             context.stream),
             "cudaMemcpyAsync");
}

}  // namespace quern::cuda
