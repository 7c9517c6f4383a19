#include "backend/cuda/recording/step_launches.h"

#include <optional>
#include <variant>

#include "backend/cuda/stream/check_cuda.h"
#include "backend/cuda/stream/memory.h"

namespace quern::cuda {
namespace {

/// A step of fewer ops gains nothing.
constexpr std::size_t kFewestOps = 4;

template <typename Params>
std::optional<kernels::PersistentOp> make_op(const std::optional<Params>& params) {
  if (!params) return std::nullopt;
  return kernels::PersistentOp(*params);
}

std::optional<kernels::PersistentOp> persistent_op(const Op& op, const Step& step,
                                                   const OpContext& context) {
  if (!context.persistent_steps || step.batch.num_tokens != 1) return std::nullopt;
  if (const auto* norm_linear = std::get_if<NormLinear>(&op)) {
    return make_op(gemv_of(*norm_linear, step, context));
  }
  if (const auto* linear = std::get_if<Linear>(&op)) {
    return make_op(gemv_of(*linear, step, context));
  }
  if (const auto* attention = std::get_if<Attention>(&op)) {
    return make_op(decode_of(*attention, step, context));
  }
  return std::nullopt;
}

void launch_alone(const kernels::PersistentOp& op, cudaStream_t stream) {
  if (op.kind == kernels::PersistentOp::Kind::gemv) return kernels::gemv(op.gemv, stream);
  kernels::attention_decode(op.attention.params, stream);
}

}  // namespace

void StepLaunches::add(const Op& op) {
  if (const auto persistent = persistent_op(op, step_, context_)) {
    waiting_.push_back(*persistent);
    return;
  }
  finish();
  std::visit([&](const auto& any) { run_op(any, step_, context_); }, op);
}

void StepLaunches::finish() {
  std::vector<kernels::PersistentOp> ops = std::move(waiting_);
  waiting_.clear();
  if (ops.size() < kFewestOps || !kernels::persistent_step_supports(ops) ||
      !kernels::persistent_step_gains(
          ops, {context_.num_multiprocessors, context_.use_pdl, context_.memory_bytes_per_clock})) {
    for (const kernels::PersistentOp& op : ops) launch_alone(op, context_.stream);
    return;
  }
  const std::size_t op_bytes = std::as_bytes(std::span(ops)).size();
  const Buffer& memory =
      memory_.emplace_back(allocate_device(op_bytes + kernels::persistent_step_bytes(ops),
                                           "a persistent step", device_, upload_stream_));
  std::byte* const after_ops = memory.data() + op_bytes;
  kernels::link_ops(ops, after_ops);
  check_cuda(cudaMemcpyAsync(memory.data(), ops.data(), op_bytes, cudaMemcpyHostToDevice,
                             upload_stream_.get()),
             "cudaMemcpyAsync");
  check_cuda(cudaStreamSynchronize(upload_stream_.get()), "cudaStreamSynchronize");
  kernels::PersistentStepParams params;
  params.ops = ops;
  params.device_ops = reinterpret_cast<const kernels::PersistentOp*>(memory.data());
  params.memory = after_ops;
  params.num_multiprocessors = context_.num_multiprocessors;
  kernels::persistent_step(params, context_.stream);
}

}  // namespace quern::cuda
