#pragma once

#include "kernels/norm/norm_row.cuh"
#include "kernels/persistent/flagged.cuh"
#include "kernels/persistent/persistent_step.h"
#include "kernels/persistent/step_role.cuh"

namespace quern::kernels {

/// Mean and sum of squared deviations of a part of a row.
struct alignas(16) Moments {
  float count;
  float mean;
  float squares;
};

/// The norm of a step's residual stream, which each block keeps in shared memory; a thread's groups
/// of four elements are its own, and kHeld of them are in registers, with their factors.
template <typename T, int kWarps, int kHeld>
class StepNorm {
  static constexpr int kThreads = kWarpSize * kWarps;

 public:
  /// Reads gain and bias: weights, for which nothing is awaited.
  __device__ StepNorm(const PersistentOp& op, float* residual)
      : op_(op), norm_(op.gemv.norm), residual_(residual), groups_(norm_.in_features / 4) {
#pragma unroll
    for (int i = 0; i < kHeld; ++i) {
      if (group(i) < groups_) factors_[i] = load_factors(group(i));
    }
  }

  /// Waits for the op's input and adds it to the residual stream.
  __device__ void add_input(std::uint32_t step) {
    if (op_.in == nullptr) return load_residual();
#pragma unroll 1
    for (int first = 0; group(first) < groups_; first += kHeld) {
      const FlaggedPair* from = op_.in + 2 * group(first);
      uint4 words[kHeld];
#pragma unroll
      for (int i = 0; i < kHeld; ++i) {
        if (group(first + i) < groups_) words[i] = load_flagged(from + 2 * kThreads * i);
      }
#pragma unroll
      for (int i = 0; i < kHeld; ++i) {
        const int at = group(first + i);
        if (at >= groups_) break;
        const uint2 added = wait_for_flags(words[i], from + 2 * kThreads * i, step);
        const float2 low = unpack<T>(added.x);
        const float2 high = unpack<T>(added.y);
        float4 sum = load_4(residual_ + 4 * at);
        sum = {sum.x + low.x, sum.y + low.y, sum.z + high.x, sum.w + high.y};
        store_4(residual_ + 4 * at, sum);
        if (first == 0) values_[i] = sum;
      }
    }
  }

  /// Calls body(group, its norm) for the thread's groups. `of_warps`: shared memory.
  template <typename Body>
  __device__ void for_each_normed(Moments (&of_warps)[kWarps], const Body& body) const {
    const NormStatistics statistics = this->statistics(of_warps);
    for_each([&](int group, const float4& value, const auto& factors_of) {
      const Factors factors = factors_of();
      const auto normed = [&](float x, float gain, float bias) {
        return (x - statistics.mean) * statistics.scale * gain + bias;
      };
      const auto& [gain, bias] = factors;
      body(group, float4{normed(value.x, gain.x, bias.x), normed(value.y, gain.y, bias.y),
                         normed(value.z, gain.z, bias.z), normed(value.w, gain.w, bias.w)});
    });
  }

  /// Stores the residual stream, for kernels after the step.
  __device__ void store(float* out) const {
    for_each([&](int group, const float4& value, const auto&) { store_4(out + 4 * group, value); });
  }

 private:
  struct Factors {
    float4 gain;
    float4 bias;
  };

  __device__ static int group(int i) { return static_cast<int>(threadIdx.x) + kThreads * i; }

  __device__ Factors load_factors(int group) const {
    const auto load = [&](const float* from) {
      return __ldg(reinterpret_cast<const float4*>(from) + group);
    };
    Factors factors{load(norm_.gain), {}};
    if (norm_.bias != nullptr) factors.bias = load(norm_.bias);
    return factors;
  }

  /// body(group, value, how to get its factors)
  template <typename Body>
  __device__ void for_each(const Body& body) const {
#pragma unroll
    for (int i = 0; i < kHeld; ++i) {
      if (group(i) < groups_) body(group(i), values_[i], [&] { return factors_[i]; });
    }
#pragma unroll 1
    for (int i = kHeld; group(i) < groups_; ++i) {
      const int at = group(i);
      body(at, load_4(residual_ + 4 * at), [&] { return load_factors(at); });
    }
  }

  /// The step's first residual stream, from the arrays of the params.
  __device__ void load_residual() {
#pragma unroll 1
    for (int i = 0; group(i) < groups_; ++i) {
      float4 sum = load_4(norm_.residual + 4 * group(i));
      if (norm_.delta != nullptr) {
        const float4 delta = load_4(static_cast<const T*>(norm_.delta) + 4 * group(i));
        sum = {sum.x + delta.x, sum.y + delta.y, sum.z + delta.z, sum.w + delta.w};
      }
      store_4(residual_ + 4 * group(i), sum);
    }
#pragma unroll
    for (int i = 0; i < kHeld; ++i) {
      if (group(i) < groups_) values_[i] = load_4(residual_ + 4 * group(i));
    }
  }

  /// Elements that the calling warp has.
  __device__ int count_of_warp() const {
    const int first = static_cast<int>(threadIdx.x) / kWarpSize * kWarpSize;
    const int of_rounds = groups_ / kThreads * kWarpSize;
    return 4 * (of_rounds + min(max(groups_ % kThreads - first, 0), kWarpSize));
  }

  /// The same in all threads. Each warp has the deviations from its own mean, merged without
  /// cancellation, so that one barrier is enough. Source: Chan, Golub and LeVeque 1979, "Updating
  /// Formulae and a Pairwise Algorithm for Computing Sample Variances".
  __device__ NormStatistics statistics(Moments (&of_warps)[kWarps]) const {
    Moments own{static_cast<float>(count_of_warp()), 0.0f, 0.0f};
    if (norm_.kind == NormKind::layer && own.count > 0.0f) {
      float sum = 0.0f;
      for_each([&](int, const float4& x, const auto&) { sum += x.x + x.y + (x.z + x.w); });
      own.mean = __fdividef(warp_sum(sum), own.count);
    }
    float squares = 0.0f;
    for_each([&](int, const float4& value, const auto&) {
      const float4 x{value.x - own.mean, value.y - own.mean, value.z - own.mean,
                     value.w - own.mean};
      squares += x.x * x.x + x.y * x.y + (x.z * x.z + x.w * x.w);
    });
    own.squares = warp_sum(squares);
    of_warps[threadIdx.x / kWarpSize] = own;  // by all lanes alike
    sync_role();
    const float share = 1.0f / static_cast<float>(norm_.in_features);
    float mean = 0.0f;
    if (norm_.kind == NormKind::layer) {
#pragma unroll
      for (const Moments& part : of_warps) mean += part.count * part.mean;
      mean *= share;
    }
    float total = 0.0f;
#pragma unroll
    for (const Moments& part : of_warps) {
      const float offset = part.mean - mean;
      total += part.squares + part.count * offset * offset;
    }
    return {mean, rsqrtf(total * share + norm_.epsilon)};
  }

  const PersistentOp& op_;
  const NormInput& norm_;
  float* residual_;
  int groups_;
  float4 values_[kHeld];
  Factors factors_[kHeld];
};

}  // namespace quern::kernels
