#pragma once

#include <cstdint>

#include "kernels/common/load.cuh"
#include "kernels/persistent/persistent_step.h"
#include "kernels/persistent/step_role.cuh"

namespace quern::kernels {

/// In device memory, before the outputs.
struct alignas(16) StepCounters {
  std::uint32_t completed;  ///< steps
  std::uint32_t finished;   ///< roles of blocks, of this one
};

/// Kernel argument.
struct StepPlan {
  const PersistentOp* ops;
  StepCounters* counters;
  int first_attention;  ///< such op
  int num_ops;
  int num_weights;
  int attention_blocks;  ///< blocks that have items of attention
  // Of shared memory, in its order:
  int attention_bytes;
  int row_bytes;
  int residual_bytes;
};

/// Ops of a role that are in shared memory: the current one, those after it that warps have
/// reached, and the one that is fetched.
inline constexpr int kOpsHeld = 4;

/// The ops of one kind, brought to shared memory ahead of their turn: a thread has one word.
class HeldOps {
 public:
  /// `places`: kOpsHeld. The caller synchronizes.
  __device__ HeldOps(const StepPlan& plan, PersistentOp* places, int first)
      : plan_(plan), places_(places), index_(first) {
    load(first);
    store(0);
    load(plan.ops[first].next);
    store(1);
  }

  __device__ bool at_end() const { return index_ >= plan_.num_ops; }

  /// The op whose turn it is. One more is loaded meanwhile.
  __device__ const PersistentOp& use() {
    const PersistentOp& op = place(0);
    load(op.after_next);
    prefetch(op.after_next + 3);
    return op;
  }

  /// Puts the loaded op where the one before this was: in each op all warps meet at a barrier, so
  /// that none is still there.
  __device__ void move_on() {
    store(turn_ + 2);
    index_ = place(0).next;
    ++turn_;
  }

 private:
  using Word = unsigned long long;
  static constexpr int kWords = sizeof(PersistentOp) / sizeof(Word);
  static_assert(sizeof(PersistentOp) % sizeof(Word) == 0 && kWords <= kRoleThreads);

  __device__ PersistentOp& place(int ahead) const { return places_[(turn_ + ahead) % kOpsHeld]; }

  __device__ void load(int index) {
    if (threadIdx.x >= kWords || index >= plan_.num_ops) return;
    word_ = __ldg(reinterpret_cast<const Word*>(plan_.ops + index) + threadIdx.x);
  }

  __device__ void store(int turn) const {
    if (threadIdx.x >= kWords) return;
    reinterpret_cast<Word*>(places_ + turn % kOpsHeld)[threadIdx.x] = word_;
  }

  /// Brings an op that is soon loaded to L2.
  __device__ void prefetch(int index) const {
    constexpr int kLineBytes = 128;
    const int at = static_cast<int>(threadIdx.x) * kLineBytes;
    if (index >= plan_.num_ops || at >= static_cast<int>(sizeof(PersistentOp))) return;
    prefetch_to_l2(reinterpret_cast<const std::byte*>(plan_.ops + index) + at);
  }

  const StepPlan& plan_;
  PersistentOp* places_;
  int index_;
  int turn_ = 0;
  Word word_ = 0;
};

}  // namespace quern::kernels
