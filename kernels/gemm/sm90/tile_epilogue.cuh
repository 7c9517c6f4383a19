#pragma once

#include "kernels/common/convert.cuh"
#include "kernels/gemm/epilogue.h"

namespace quern::kernels {

/// The epilogue of a warpgroup's sums [64, N], as wgmma leaves them in registers, see wgmma.cuh.
/// Whole groups of 32 columns at a time, so that stores are of 16 bytes.
template <typename T>
class TileEpilogue {
 public:
  __device__ TileEpilogue(const Epilogue& epilogue, std::int64_t num_rows, int first_row,
                          int first_feature)
      : e_(epilogue),
        row_of_tile_(first_row),
        row_(first_row + static_cast<int>(threadIdx.x) % 128 / 32 * 16 + lane() / 4),
        first_feature_(first_feature) {
    valid_[0] = row_ < num_rows;
    valid_[1] = row_ + 8 < num_rows;
  }

  /// Of a tile of kWidth weight rows, whose kWidth / 2 sums of this thread are `sums[i]`; if gated,
  /// gate rows come first and up rows behind them. The usual cases have code of their own: to
  /// branch over what others need costs more than their arithmetic.
  template <int kWidth, typename Sums, typename Stores>
  __device__ void finish(const Sums& sums, Stores& stores) const {
    const bool biased = e_.bias != nullptr;
    if (!e_.gated && !biased && e_.activation == Activation::none) {
      finish_groups<kWidth / 32>(stores, [&](int group, float(&values)[16]) {
#pragma unroll
        for (int i = 0; i < 16; ++i) values[i] = sums[16 * group + i];
      });
    } else if (e_.gated && !biased && e_.activation == Activation::silu) {
      finish_groups<kWidth / 64>(stores, [&](int group, float(&values)[16]) {
#pragma unroll
        for (int i = 0; i < 16; ++i) {
          values[i] = silu(sums[16 * group + i]) * sums[kWidth / 4 + 16 * group + i];
        }
      });
    } else if (e_.gated) {
      finish_groups<kWidth / 64>(stores, [&](int group, float(&values)[16]) {
        const auto gate = [&](int i) { return sums[16 * group + i]; };
        const auto up = [&](int i) { return sums[kWidth / 4 + 16 * group + i]; };
        gated_values(group, gate, up, values);
      });
    } else {
      finish_groups<kWidth / 32>(stores, [&](int group, float(&values)[16]) {
        values_of(
            group, [&](int i) { return sums[16 * group + i]; }, values);
      });
    }
  }

  /// The rank-th of kRanks shares of the groups; sum_fragment(fragment, sums) adds four sums of a
  /// fragment of eight columns to zeros.
  template <int kWidth, int kRanks, typename SumFragment>
  __device__ void finish_some(int rank, const SumFragment& sum_fragment) const {
    const int groups = e_.gated ? kWidth / 64 : kWidth / 32;
    const int end = groups * (rank + 1) / kRanks;
    for (int group = groups * rank / kRanks; group < end; ++group) {
      float values[16];
      float first[16] = {};
      float second[16] = {};
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        sum_fragment(4 * group + i, reinterpret_cast<float(&)[4]>(first[4 * i]));
        if (e_.gated) {
          sum_fragment(kWidth / 16 + 4 * group + i, reinterpret_cast<float(&)[4]>(second[4 * i]));
        }
      }
      const auto product = [&](int i) { return first[i]; };
      if (e_.gated) {
        gated_values(
            group, product, [&](int i) { return second[i]; }, values);
      } else {
        values_of(group, product, values);
      }
      store(group, values);
    }
  }

 private:
  /// Stores the values of all groups by way of shared memory, some groups at a time.
  template <int kGroups, typename Stores, typename Values>
  __device__ void finish_groups(Stores& stores, const Values& values_of_group) const {
    constexpr int kAtATime = Stores::kBoxes;
    static_assert(kGroups % kAtATime == 0);
#pragma unroll
    for (int first = 0; first < kGroups; first += kAtATime) {
      stores.begin();
#pragma unroll
      for (int i = 0; i < kAtATime; ++i) {
        float values[16];
        values_of_group(first + i, values);
#pragma unroll
        for (int half = 0; half < 2; ++half) stores.put(i, half, chunk_of(values, half));
      }
      stores.end(row_of_tile_, first_feature_ + 32 * first);
    }
  }

  __device__ static int lane() { return static_cast<int>(threadIdx.x) % 32; }

  /// The feature of this thread's first column of a fragment.
  __device__ std::int64_t feature_of(int group, int fragment) const {
    return first_feature_ + 32 * group + 8 * fragment + 2 * (lane() % 4);
  }
  __device__ float2 bias_of(std::int64_t feature, std::int64_t offset) const {
    if (e_.bias == nullptr || feature >= e_.out_features) return {0.0f, 0.0f};
    return {e_.bias[offset + feature], e_.bias[offset + feature + 1]};
  }

  template <typename Product>
  __device__ void values_of(int group, const Product& product, float (&values)[16]) const {
#pragma unroll
    for (int i = 0; i < 16; ++i) values[i] = product(i);
    if (e_.bias != nullptr) add_bias(group, 0, values);
    activate_all(e_.activation, values);
  }

  template <typename Gate, typename Up>
  __device__ void gated_values(int group, const Gate& gate, const Up& up,
                               float (&values)[16]) const {
    values_of(group, gate, values);
    float factors[16];
#pragma unroll
    for (int i = 0; i < 16; ++i) factors[i] = up(i);
    if (e_.bias != nullptr) add_bias(group, e_.out_features, factors);
#pragma unroll
    for (int i = 0; i < 16; ++i) values[i] *= factors[i];
  }

  __device__ void add_bias(int group, std::int64_t offset, float (&values)[16]) const {
#pragma unroll
    for (int fragment = 0; fragment < 4; ++fragment) {
      const float2 bias = bias_of(feature_of(group, fragment), offset);
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        values[4 * fragment + 2 * half] += bias.x;
        values[4 * fragment + 2 * half + 1] += bias.y;
      }
    }
  }

  // Activations are as activate() in epilogue.cuh, by the fast exponential and quotient: off by
  // 2e-6 at most, far below the rounding of T.

  __device__ static float silu(float x) { return __fdividef(x, 1.0f + __expf(-x)); }

  __device__ static void activate_all(Activation activation, float (&values)[16]) {
    switch (activation) {
      case Activation::silu:
#pragma unroll
        for (float& x : values) x = silu(x);
        break;
      case Activation::gelu_tanh:
#pragma unroll
        for (float& x : values) {
          constexpr float kTwoSqrt2OverPi = 2.0f * 0.797884560802865356f;
          x = __fdividef(x, 1.0f + __expf(-kTwoSqrt2OverPi * (x + 0.044715f * x * x * x)));
        }
        break;
      case Activation::relu:
#pragma unroll
        for (float& x : values) x = x < 0.0f ? 0.0f : x;  // NaN stays NaN
        break;
      default:
        break;
    }
  }

  /// Four lanes have two columns each of the same eight, in each of four fragments; each takes all
  /// of one fragment and stores its 16 bytes.
  __device__ void store(int group, const float (&values)[16]) const {
    const std::int64_t feature = first_feature_ + 32 * group + 8 * (lane() % 4);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const uint4 chunk = chunk_of(values, half);
      if (!valid_[half] || feature >= e_.out_features) continue;
      T* out = static_cast<T*>(e_.out) + (row_ + std::int64_t{8} * half) * e_.out_features;
      *reinterpret_cast<uint4*>(out + feature) = chunk;
    }
  }

  __device__ static uint4 chunk_of(const float (&values)[16], int half) {
    std::uint32_t words[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      words[i] = pack<T>(values[4 * i + 2 * half], values[4 * i + 2 * half + 1]);
    }
    transpose(words);
    return {words[0], words[1], words[2], words[3]};
  }

  /// Word i of lane j of a quad becomes word j of lane i.
  __device__ static void transpose(std::uint32_t (&words)[4]) {
#pragma unroll
    for (int distance = 1; distance <= 2; distance *= 2) {
      const bool upper = (lane() & distance) != 0;
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        if ((i & distance) != 0) continue;
        std::uint32_t& low = words[i];
        std::uint32_t& high = words[i + distance];
        const std::uint32_t got = __shfl_xor_sync(~0u, upper ? low : high, distance);
        (upper ? low : high) = got;
      }
    }
  }

  const Epilogue& e_;
  int row_of_tile_;
  int row_;  ///< this thread's first one; the second is eight further
  int first_feature_;
  bool valid_[2];
};

}  // namespace quern::kernels
