#pragma once

#include <utility>

#include "kernels/common/dispatch.h"

namespace quern::kernels {

/// Head sizes that the tensor-core attention kernels are instantiated for; the smaller ones are for
/// small models.
using MmaHeadDims = std::integer_sequence<int, 16, 32, 64, 80, 96, 128, 256>;

template <int... kHeadDims>
constexpr bool contains(std::integer_sequence<int, kHeadDims...>, int head_dim) {
  return ((head_dim == kHeadDims) || ...);
}

constexpr bool has_mma_head_dim(int head_dim) { return contains(MmaHeadDims{}, head_dim); }

/// Calls body<T, kHeadDim>() for a 16-bit dtype and one of MmaHeadDims. Errors: internal, naming
/// the legal values.
template <typename Body>
void dispatch_mma(DType dtype, int head_dim, const char* kernel, const Body& body) {
  dispatch_half(dtype, kernel, [&]<typename T>() {
    dispatch_value(MmaHeadDims{}, head_dim, kernel, "head_dim",
                   [&]<int kHeadDim>() { body.template operator()<T, kHeadDim>(); });
  });
}

}  // namespace quern::kernels
