#pragma once

#include <cstdint>

#include "backend/cpu/integer/rounded_input.h"
#include "backend/workspace.h"
#include "base/memory/tensor.h"
#include "base/threads/thread_pool.h"
#include "graph/op.h"
#include "weights/weight.h"

namespace quern::cpu {

/// The GEMM and epilogue shared by NormLinear and Linear: out = activation(in · Wᵀ + bias), gated
/// or not, see op.h. Rounding: sum, bias, activation and gate are float32; out is rounded once.
struct Projection {
  Tensor in;  ///< [rows, in_features] float32, values already rounded to the activation dtype
  const Weight* weight = nullptr;
  const Weight* bias = nullptr;  ///< may be null
  Activation activation = Activation::none;
  bool gated = false;
  Tensor out;  ///< [rows, out_features, or half of it when gated]
};

/// Scratch of a projection, one tile of each array per thread.
struct ProjectionScratch {
  float* widened = nullptr;  ///< [threads, widened_stride] a tile of the weight
  float* product = nullptr;  ///< [threads, product_stride] a tile of the result
  std::int64_t widened_stride = 0;
  std::int64_t product_stride = 0;
  RoundedInput rounded;  ///< if the weight's format rounds inputs
};

ProjectionScratch take_projection_scratch(Workspace& workspace, std::int64_t rows,
                                          std::int64_t in_features, const WeightFormat& format,
                                          int threads);

/// Runs a projection on all threads of the pool, tile by tile.
void project(const Projection& projection, const ProjectionScratch& scratch, ThreadPool& pool);

}  // namespace quern::cpu
