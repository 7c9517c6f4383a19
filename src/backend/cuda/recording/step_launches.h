#pragma once

#include <functional>
#include <vector>

#include "backend/cuda/ops/ops.h"
#include "base/memory/buffer.h"
#include "kernels/persistent/persistent_step.h"

namespace quern::cuda {

/// Launches the ops of a step that is recorded, consecutive ones of one sequence as a persistent
/// step where context.persistent_steps allows it.
class StepLaunches {
 public:
  /// As Backend's, for memory that the launches read.
  using Allocate = std::function<Buffer(std::size_t size_bytes, const char* what)>;
  using Copy = std::function<void(void* device, const void* host, std::size_t size_bytes)>;

  StepLaunches(const Step& step, const OpContext& context, Allocate allocate, Copy copy)
      : step_(step), context_(context), allocate_(std::move(allocate)), copy_(std::move(copy)) {}

  /// The next op; it may be launched later, with those after it. Errors: as run_op().
  void add(const Op& op);
  /// Launches what is left.
  void finish();
  /// What the launches read on the device, for as long as they are replayed.
  std::vector<Buffer> take_memory() { return std::move(memory_); }

 private:
  const Step& step_;
  const OpContext& context_;
  Allocate allocate_;
  Copy copy_;
  std::vector<kernels::PersistentOp> waiting_;
  std::vector<Buffer> memory_;
};

}  // namespace quern::cuda
