#include <cmath>

#include "kernels/common/dependent_launch.cuh"
#include "kernels/common/launch.h"
#include "kernels/common/load.cuh"
#include "kernels/common/token_row.cuh"
#include "kernels/step/embed.h"

namespace quern::kernels {
namespace {

constexpr int kEmbedThreads = 256;

__device__ float element(const EmbeddingTable& table, std::int64_t row, int column, int columns) {
  if (row < 0 || row >= table.num_rows) return NAN;
  return load_element(table.dtype, table.rows, row * columns + column);
}

__global__ void __launch_bounds__(kEmbedThreads)
    embed_kernel(const __grid_constant__ EmbedParams p) {
  let_next_kernel_start();
  wait_for_earlier_kernels();
  const int row = static_cast<int>(blockIdx.x);
  const int seq = sequence_of_row(p.cu_seqlens_q, p.num_seqs, row);
  const bool decode = seq < p.num_decode_seqs;
  const int state_row = p.state_index[seq];
  const int id = decode ? p.state_last_token[state_row] : p.token_ids[row];
  const int position = decode ? p.state_position[state_row] : p.token_positions[row];
  float* out = p.out + std::int64_t{row} * p.hidden_size;
  for (int i = static_cast<int>(threadIdx.x); i < p.hidden_size; i += kEmbedThreads) {
    float value = element(p.tokens, id, i, p.hidden_size);
    if (p.positions.rows != nullptr) value += element(p.positions, position, i, p.hidden_size);
    out[i] = value;
  }
}

}  // namespace

void embed(const EmbedParams& params, cudaStream_t stream) {
  const LaunchShape shape{.grid = dim3(static_cast<unsigned>(params.num_tokens)),
                          .block = dim3(kEmbedThreads),
                          .use_pdl = params.use_pdl};
  launch(embed_kernel, shape, stream, params);
}

}  // namespace quern::kernels
