#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/attention/decode/decode_launch.h"
#include "kernels/gemv/gemv.h"

namespace quern::kernels {

struct FlaggedPair;

/// An op of a persistent step: what gemv() or attention_decode() would launch for one sequence.
struct alignas(16) PersistentOp {
  enum class Kind : std::uint8_t { gemv, attention };
  Kind kind = Kind::gemv;
  GemvParams gemv;
  DecodePlan attention;
  int num_items = 0;  ///< of attention; see attend_to_item()

  // Of the step, see link_ops():
  int next = 0;        ///< op of the kind; the number of ops: none
  int after_next = 0;  ///< likewise, after that
  int gemv_index = 0;
  const FlaggedPair* in =
      nullptr;                   ///< the output of the op before; null: in the array of the params
  FlaggedPair* out = nullptr;    ///< likewise, for the op after
  bool stores_residual = false;  ///< to residual_out, for kernels after the step

  explicit PersistentOp(const GemvParams& params);
  explicit PersistentOp(const AttentionDecodeParams& params);
};

/// Device memory of a step beside its ops: two counters, then the ops' outputs. Zero before the
/// first step, and used by no other kernel.
std::size_t persistent_step_bytes(std::span<const PersistentOp> ops);

/// Whether persistent_step() supports these ops on the current device. They must be a chain: each
/// reads what the one before it writes, which nothing else reads, and norms the residual stream of
/// the norm before it. `shared_bytes`: that a block may have; 0: what the device allows. Errors:
/// LaunchError.
bool persistent_step_supports(std::span<const PersistentOp> ops, std::size_t shared_bytes = 0);

/// What decides between one launch and one of each op.
struct StepLaunchCosts {
  int num_multiprocessors = 0;
  bool launches_overlap = false;        ///< PDL
  double memory_bytes_per_clock = 0.0;  ///< of a multiprocessor; 0: not known
};

/// Whether a supported step is faster in one launch: weights are small, or the memory is slower
/// than what a block multiplies; and, where launches overlap, weights are spread evenly over the
/// multiprocessors. Measured: docs/adr/0025.
bool persistent_step_gains(std::span<const PersistentOp> ops, const StepLaunchCosts& costs);

/// Links the ops of a step. `memory`: persistent_step_bytes(), aligned to 16 bytes, on the device.
void link_ops(std::span<PersistentOp> ops, std::byte* memory);

struct PersistentStepParams {
  std::span<const PersistentOp> ops;         ///< linked; on the host, for the launch alone
  const PersistentOp* device_ops = nullptr;  ///< the same on the device
  std::byte* memory = nullptr;               ///< that they are linked in
  int num_multiprocessors = 0;
  std::size_t shared_bytes = 0;  ///< see persistent_step_supports()
};

/// The ops in one launch. One block per multiprocessor stays for the whole step; half of its warps
/// multiply, the others attend. An op's output goes from block to block as pairs of elements with
/// the step's number beside them (flagged.cuh): the blocks of the next op wait for the pairs that
/// they need. Each block keeps the residual stream. Meanwhile its warps' copies of weights run
/// ahead across ops, as far as shared memory reaches, and keys and values are loaded. All blocks
/// must be resident at once: no other kernel may wait for this one to end. Rounding: as gemv() and
/// attention_decode(); sums of products are split among fewer warps. Errors: see launch.h. Cost:
/// reads all weights once. Sources: persistent threads (Gupta et al. 2012); a whole model in one
/// kernel (Spector et al. 2025, "Look Ma, No Bubbles").
void persistent_step(const PersistentStepParams& params, cudaStream_t stream);

}  // namespace quern::kernels
