#include "kernels/sample/sample.h"

#include "backend/cuda/ops/ops.h"
#include "backend/cuda/ops/sampling_rows.h"
#include "base/check.h"

namespace quern::cuda {
namespace {

struct SampleScratch {
  kernels::SampleSlice* slices = nullptr;  ///< [rows, sample_slices(vocab_size)]
  kernels::SampleScratch filters;          ///< scratch of one row after another
};

SampleScratch take_sample_scratch(Workspace& workspace, std::int64_t rows,
                                  std::int64_t vocab_size) {
  const int slices = kernels::sample_slices(static_cast<int>(vocab_size));
  return {workspace.take<kernels::SampleSlice>(rows * slices),
          {workspace.take<std::uint64_t>(rows * kernels::kSampleBinSets * kernels::kSampleBins),
           workspace.take<int>(rows * slices),
           workspace.take<double>(rows * slices * kernels::kSampleSumSets * kernels::kSampleSums),
           workspace.take<double>(rows * slices),
           workspace.take<float>(rows * kernels::sample_groups(static_cast<int>(vocab_size)))}};
}

constexpr auto kCountersOfRow =
    static_cast<int>(sizeof(kernels::SampleWords) / sizeof(std::uint32_t));

/// A row's blocks wait for each other, so all of them must be co-resident.
void check_vocab_size(std::int64_t vocab_size, const OpContext& context) {
  const int slices = kernels::sample_slices(static_cast<int>(vocab_size));
  const int max_slices = kernels::max_sample_slices(context.num_multiprocessors);
  if (slices <= max_slices) return;
  fail(ErrorCode::unsupported,
       "vocab_size {}: takes {} blocks a row, of which this GPU's {} multiprocessors hold {}",
       vocab_size, slices, context.num_multiprocessors, max_slices);
}

}  // namespace

void check_sample(const Sample& op, const Graph& graph, const Limits& limits,
                  const OpContext& context) {
  check_vocab_size(graph.value(op.logits).cols, context);
  context.check_counters(std::int64_t{limits.max_logit_rows} * kCountersOfRow);
}

void run_sample(const Sample& op, const Step& step, const OpContext& context) {
  const BatchView& batch = step.batch;
  const SequenceState& state = step.state;
  const Tensor& logits = step.value(op.logits);
  QUERN_CHECK(logits.dtype == DType::float32);
  if (batch.num_logit_rows == 0) return;
  check_vocab_size(logits.cols, context);
  Workspace workspace(step.workspace);
  const SampleScratch scratch = take_sample_scratch(workspace, batch.num_logit_rows, logits.cols);

  kernels::SampleParams params;
  params.logits = logits.row<float>(0);
  params.row_stride = logits.row_stride;
  params.vocab_size = static_cast<int>(logits.cols);
  params.num_logit_rows = batch.num_logit_rows;
  params.logit_seqs = batch.logit_seqs;
  params.state_index = batch.state_index;
  params.last_token = state.last_token;
  params.finished = state.finished;
  params.generated = state.generated;
  params.prompt_len = state.prompt_len;
  params.mirostat_mu = state.mirostat_mu;
  params.history = state.history;
  params.history_stride = state.history_stride;
  params.sampling = kernel_rows(step.sampling);
  params.token_bitmask = step.token_bitmask;
  params.token_bitmask_stride = step.token_bitmask_stride;
  params.ring_capacity = step.ring.capacity;
  params.ring_max_seqs = step.ring.max_seqs;
  params.ring_head = step.ring.head;
  params.ring_logprobs = step.ring.logprobs;
  params.ring_top_ids = step.ring.top_ids;
  params.ring_top_logprobs = step.ring.top_logprobs;
  params.slices = scratch.slices;
  params.scratch = scratch.filters;
  params.words = reinterpret_cast<kernels::SampleWords*>(
      context.take_counters(std::int64_t{batch.num_logit_rows} * kCountersOfRow));
  params.tickets = context.sample_tickets;
  params.use_pdl = context.use_pdl;
  kernels::sample(params, context.stream);
}

std::size_t sample_workspace_bytes(const Sample& op, const Graph& graph, const Limits& limits) {
  Workspace workspace;
  take_sample_scratch(workspace, limits.max_logit_rows, graph.value(op.logits).cols);
  return workspace.used_bytes();
}

}  // namespace quern::cuda
