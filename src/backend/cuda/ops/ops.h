#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "backend/communicator.h"
#include "backend/cuda/ops/gemm_crossover.h"
#include "backend/workspace.h"
#include "base/check.h"
#include "graph/graph.h"
#include "graph/limits.h"
#include "graph/step.h"
#include "kernels/attention/decode/attention_decode.h"
#include "kernels/gemv/gemv.h"

namespace quern::cuda {

class CublasLt;
class RopeTables;

/// Backend state that the launches of ops need.
struct OpContext {
  cudaStream_t stream = nullptr;
  int num_multiprocessors = 0;
  double memory_bytes_per_clock = 0.0;  ///< of a multiprocessor; 0: not known
  /// Device words that are zero before and after each op.
  std::span<std::uint32_t> counters;
  std::uint32_t* sample_tickets = nullptr;  ///< likewise, used by Sample only
  CublasLt* cublaslt = nullptr;
  RopeTables* rope_tables = nullptr;
  GemmCrossover gemm_crossover;
  /// Launches use PDL; see kernels::LaunchShape.
  bool use_pdl = false;
  /// Recorded steps of one sequence may be persistent, see kernels::persistent_step().
  bool persistent_steps = false;
  /// Prefill attention may use sm_90a instructions, see has_attention_prefill_sm90().
  bool sm90_attention = false;
  /// Projections of many rows may use them too, see has_gemm_sm90().
  bool sm90_gemm = false;
  /// Those of int8 rows, see has_int8_gemm_sm90().
  bool sm90_int8_gemm = false;
  /// Those of E4M3 rows, see has_float8_gemm_sm90().
  bool sm90_float8_gemm = false;
  /// Up to so many E4M3 rows are multiplied without them, see most_float8_gemm_rows().
  std::int64_t float8_gemm_rows = 0;
  /// While a device loop is recorded: its condition, which Advance sets.
  std::optional<cudaGraphConditionalHandle> loop_condition = std::nullopt;

  /// Errors: unsupported when there are fewer than `count` counters.
  void check_counters(std::int64_t count) const {
    if (count <= std::ssize(counters)) return;
    fail(ErrorCode::unsupported,
         "counters of one op: expected at most {} on CUDA, got {}; lower max_seqs", counters.size(),
         count);
  }
  /// The first `count` counters. Errors: as check_counters().
  std::uint32_t* take_counters(std::int64_t count) const {
    check_counters(count);
    return counters.data();
  }
};

// One function per op, each in a file of its name; see graph/op.h for the contract. Errors:
// kernels::LaunchError and kernels::DispatchError, which the backend converts to Error.
void run_embed(const Embed& op, const Step& step, const OpContext& context);
void run_norm_linear(const NormLinear& op, const Step& step, const OpContext& context);
void run_attention(const Attention& op, const Step& step, const OpContext& context);
void run_linear(const Linear& op, const Step& step, const OpContext& context);
void run_sample(const Sample& op, const Step& step, const OpContext& context);
void run_advance(const Advance& op, const Step& step, const OpContext& context);

// The same by overload, for std::visit.
inline void run_op(const Embed& op, const Step& step, const OpContext& context) {
  run_embed(op, step, context);
}
inline void run_op(const NormLinear& op, const Step& step, const OpContext& context) {
  run_norm_linear(op, step, context);
}
inline void run_op(const Attention& op, const Step& step, const OpContext& context) {
  run_attention(op, step, context);
}
inline void run_op(const Linear& op, const Step& step, const OpContext& context) {
  run_linear(op, step, context);
}
inline void run_op(const AllReduce&, const Step&, const OpContext&) {
  fail_without_communicator("AllReduce");
}
inline void run_op(const AllGather&, const Step&, const OpContext&) {
  fail_without_communicator("AllGather");
}
inline void run_op(const Sample& op, const Step& step, const OpContext& context) {
  run_sample(op, step, context);
}
inline void run_op(const Advance& op, const Step& step, const OpContext& context) {
  run_advance(op, step, context);
}

// What an op launches if that is a single kernel of this kind, and nothing if it is not.
std::optional<kernels::GemvParams> gemv_of(const NormLinear& op, const Step& step,
                                           const OpContext& context);
std::optional<kernels::GemvParams> gemv_of(const Linear& op, const Step& step,
                                           const OpContext& context);
std::optional<kernels::AttentionDecodeParams> decode_of(const Attention& op, const Step& step,
                                                        const OpContext& context);

// Checks for ops with sizes that a model or GPU can exceed; see Backend::check. The functions above
// repeat the checks that protect their arrays.
void check_attention(const Attention& op, const Graph& graph, const Limits& limits,
                     const OpContext& context);
void check_sample(const Sample& op, const Graph& graph, const Limits& limits,
                  const OpContext& context);

// Scratch of the ops that need some, at the limits.
std::size_t norm_linear_workspace_bytes(const NormLinear& op, const Graph& graph,
                                        const Limits& limits);
std::size_t attention_workspace_bytes(const Attention& op, const Graph& graph,
                                      const Limits& limits);
std::size_t linear_workspace_bytes(const Linear& op, const Graph& graph, const Limits& limits);
std::size_t sample_workspace_bytes(const Sample& op, const Graph& graph, const Limits& limits);

}  // namespace quern::cuda
