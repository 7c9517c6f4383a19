#include <algorithm>

#include "kernels/common/dispatch.h"
#include "kernels/common/epilogue.cuh"
#include "kernels/common/launch.h"
#include "kernels/common/norm_row.cuh"
#include "kernels/matvec.h"

namespace quern::kernels {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarpSize;
constexpr int kBlocksPerMultiprocessor = 2;
constexpr int kDepth = 4;  ///< 16-byte loads of one weight row that a thread has under way
constexpr int kPair = 2;   ///< weight rows that a warp works on at a time

/// A warp's way through its share of the weight: chunks of 16 bytes along pairs of rows, the next
/// pair after the last chunk.
template <typename T>
class WeightStream {
 public:
  struct Part {
    uint4 words[kPair][kDepth];
  };

  __device__ explicit WeightStream(const MatvecParams& p)
      : p_(p),
        lane_(static_cast<int>(threadIdx.x) % kWarpSize),
        num_chunks_(static_cast<int>(p.in_features / kElementsOf16Bytes<T>)),
        num_pairs_(p.epilogue.gated ? p.epilogue.out_features
                                    : (p.epilogue.out_features + 1) / kPair),
        pair_(std::int64_t{blockIdx.x} * kWarps + threadIdx.x / kWarpSize) {
    find_rows();
  }

  __device__ bool at_end() const { return pair_ >= num_pairs_; }
  __device__ bool at_last_part() const { return chunk_ + kPart >= num_chunks_; }
  __device__ std::int64_t pair() const { return pair_; }

  /// This thread's i-th chunk of the part, which may lie beyond the row.
  __device__ int chunk(int i) const { return chunk_ + i * kWarpSize + lane_; }
  __device__ bool has_chunk(int i) const { return chunk(i) < num_chunks_; }

  __device__ void load(Part& part) const {
    if (at_end()) return;
#pragma unroll
    for (int i = 0; i < kDepth; ++i) {
      if (!has_chunk(i)) continue;
#pragma unroll
      for (int row = 0; row < kPair; ++row) {
        part.words[row][i] = load_16_bytes_once(rows_[row] + chunk(i));
      }
    }
  }

  __device__ void move_on() {
    chunk_ += kPart;
    if (chunk_ < num_chunks_) return;
    chunk_ = 0;
    pair_ += std::int64_t{gridDim.x} * kWarps;
    if (!at_end()) find_rows();
  }

  /// The pair's second row does not exist where the number of outputs is odd.
  __device__ bool has_second() const {
    return p_.epilogue.gated || kPair * pair_ + 1 < p_.epilogue.out_features;
  }

 private:
  static constexpr int kPart = kDepth * kWarpSize;  ///< chunks

  __device__ void find_rows() {
    const bool gated = p_.epilogue.gated;
    const std::int64_t first = gated ? pair_ : kPair * pair_;
    const std::int64_t second = gated ? pair_ + p_.epilogue.out_features : first + has_second();
    const auto* weight = static_cast<const uint4*>(p_.weight);
    rows_[0] = weight + first * num_chunks_;
    rows_[1] = weight + second * num_chunks_;
  }

  const MatvecParams& p_;
  int lane_;
  int num_chunks_;
  std::int64_t num_pairs_;
  std::int64_t pair_;
  int chunk_ = 0;
  const uint4* rows_[kPair] = {};
};

/// Brings the rows that the weight is multiplied with to shared memory: [num_rows, in_features].
template <typename T>
__device__ void prepare_rows(const MatvecParams& p, T* rows) {
  for (int row = 0; row < p.num_rows; ++row) {
    T* destination = rows + row * p.in_features;
    if (p.in != nullptr) {
      const T* source = static_cast<const T*>(p.in) + row * p.in_features;
      for_elements<kElementsOf16Bytes<T>>(static_cast<int>(p.in_features), [&](int i) {
        *reinterpret_cast<uint4*>(destination + i) = *reinterpret_cast<const uint4*>(source + i);
      });
      continue;
    }
    const std::int64_t token_row = p.norm.token_rows != nullptr ? p.norm.token_rows[row] : row;
    if (p.residual_out != nullptr && blockIdx.x == 0) {
      add_delta_row<T, 4>(p.norm, token_row, p.residual_out);
    }
    norm_row<T, 4>(p.norm, token_row, destination);
  }
  __syncthreads();
}

/// sums += a part of two weight rows times the same part of each row.
template <typename T, int kRows>
__device__ void multiply(const MatvecParams& p, const WeightStream<T>& stream,
                         const typename WeightStream<T>::Part& part, const T* rows,
                         float (&sums)[kPair][kRows]) {
  constexpr int kElements = kElementsOf16Bytes<T>;
#pragma unroll
  for (int i = 0; i < kDepth; ++i) {
    if (!stream.has_chunk(i)) continue;
    float weight[kPair][kElements];
#pragma unroll
    for (int j = 0; j < kPair; ++j) unpack_16_bytes<T>(part.words[j][i], weight[j]);
#pragma unroll
    for (int row = 0; row < kRows; ++row) {
      if (row >= p.num_rows) continue;
      float values[kElements];
      unpack_16_bytes<T>(
          *reinterpret_cast<const uint4*>(rows + row * p.in_features + stream.chunk(i) * kElements),
          values);
#pragma unroll
      for (int j = 0; j < kPair; ++j) {
#pragma unroll
        for (int k = 0; k < kElements; ++k) sums[j][row] += weight[j][k] * values[k];
      }
    }
  }
}

/// Stores the outputs of a pair of weight rows: lane r those of row r.
template <int kRows>
__device__ void store_pair(const MatvecParams& p, std::int64_t pair, bool has_second,
                           float (&sums)[kPair][kRows]) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
#pragma unroll
  for (int row = 0; row < kRows; ++row) {
    const float first = warp_sum(sums[0][row]);
    const float second = warp_sum(sums[1][row]);
    if (lane == row && row < p.num_rows) {
      if (p.epilogue.gated) {
        finish(p.epilogue, row, pair, first, second);
      } else {
        finish(p.epilogue, row, kPair * pair, first, 0.0f);
        if (has_second) finish(p.epilogue, row, kPair * pair + 1, second, 0.0f);
      }
    }
    sums[0][row] = sums[1][row] = 0.0f;
  }
}

template <typename T, int kRows>
__global__ void __launch_bounds__(kThreads, kBlocksPerMultiprocessor)
    matvec_kernel(const __grid_constant__ MatvecParams p) {
  extern __shared__ uint4 shared[];
  T* rows = reinterpret_cast<T*>(shared);

  WeightStream<T> stream(p);
  typename WeightStream<T>::Part part;
  stream.load(part);
  prepare_rows(p, rows);

  float sums[kPair][kRows] = {};
  while (!stream.at_end()) {
    const WeightStream<T> here = stream;
    typename WeightStream<T>::Part next;
    stream.move_on();
    stream.load(next);
    multiply<T, kRows>(p, here, part, rows, sums);
    if (here.at_last_part()) store_pair<kRows>(p, here.pair(), here.has_second(), sums);
    part = next;
  }
}

std::size_t shared_bytes(DType dtype, std::int64_t num_rows, std::int64_t in_features) {
  return static_cast<std::size_t>(num_rows * in_features) * dtype_bytes(dtype);
}

}  // namespace

// Reductions have some shared memory of their own.
bool matvec_supports(DType dtype, std::int64_t num_rows, std::int64_t in_features) {
  const std::size_t row_bytes = shared_bytes(dtype, 1, in_features);
  return num_rows <= kMaxMatvecRows && row_bytes % 16 == 0 &&
         row_bytes * static_cast<std::size_t>(num_rows) <= kMaxSharedBytes - 1024;
}

void matvec(const MatvecParams& params, cudaStream_t stream) {
  const std::int64_t pairs = params.epilogue.gated ? params.epilogue.out_features
                                                   : (params.epilogue.out_features + 1) / kPair;
  const std::int64_t blocks =
      std::min<std::int64_t>((pairs + kWarps - 1) / kWarps,
                             std::int64_t{kBlocksPerMultiprocessor} * params.num_multiprocessors);
  const LaunchShape shape{
      .grid = dim3(static_cast<unsigned>(blocks)),
      .block = dim3(kThreads),
      .shared_bytes = shared_bytes(params.dtype, params.num_rows, params.in_features)};
  // Three rows run as four.
  const int rows = params.num_rows == 3 ? 4 : params.num_rows;
  dispatch_float(params.dtype, "matvec", [&]<typename T>() {
    dispatch_value(std::integer_sequence<int, 1, 2, 4>{}, rows, "matvec", "num_rows",
                   [&]<int kRows>() { launch(matvec_kernel<T, kRows>, shape, stream, params); });
  });
}

}  // namespace quern::kernels
