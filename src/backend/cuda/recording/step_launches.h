#pragma once

#include <vector>

#include "backend/cuda/ops/ops.h"
#include "backend/cuda/stream/stream.h"
#include "base/memory/buffer.h"
#include "kernels/persistent/persistent_step.h"

namespace quern::cuda {

/// Launches the ops of a step that is recorded, consecutive ones of one sequence as a persistent
/// step where context.persistent_steps allows it.
class StepLaunches {
 public:
  /// `upload_stream`: for what the launches read; not one that another thread uploads through.
  StepLaunches(const Step& step, const OpContext& context, Device device,
               const Stream& upload_stream)
      : step_(step), context_(context), device_(device), upload_stream_(upload_stream) {}

  /// The next op; it may be launched later, with those after it. Errors: as run_op().
  void add(const Op& op);
  /// Launches what is left.
  void finish();
  /// What the launches read on the device, for as long as they are replayed.
  std::vector<Buffer> take_memory() { return std::move(memory_); }

 private:
  const Step& step_;
  const OpContext& context_;
  Device device_;
  const Stream& upload_stream_;
  std::vector<kernels::PersistentOp> waiting_;
  std::vector<Buffer> memory_;
};

}  // namespace quern::cuda
