#include "kernels/step/embed.h"

#include "backend/cuda/ops/ops.h"

namespace quern::cuda {
namespace {

kernels::EmbeddingTable table_of(const Weight& weight, const Tensor& out) {
  QUERN_CHECK(weight.in_features == out.cols && weight.values.row_stride == out.cols);
  return {weight.values.data, weight.out_features, weight.format.stored};
}

}  // namespace

void run_embed(const Embed& op, const Step& step, const OpContext& context) {
  const BatchView& batch = step.batch;
  const Tensor& out = step.value(op.out);
  QUERN_CHECK(out.dtype == DType::float32 && out.row_stride == out.cols);
  if (batch.num_tokens == 0) return;
  kernels::EmbedParams params;
  params.tokens = table_of(step.weight(op.token_embedding), out);
  if (op.position_embedding) params.positions = table_of(step.weight(*op.position_embedding), out);
  params.hidden_size = static_cast<int>(out.cols);
  params.out = out.row<float>(0);
  params.num_tokens = batch.num_tokens;
  params.num_seqs = batch.num_seqs;
  params.num_decode_seqs = batch.num_decode_seqs;
  params.state_index = batch.state_index;
  params.token_ids = batch.token_ids;
  params.token_positions = batch.positions;
  params.cu_seqlens_q = batch.cu_seqlens_q;
  params.state_last_token = step.state.last_token;
  params.state_position = step.state.position;
  params.use_pdl = context.use_pdl;
  kernels::embed(params, context.stream);
}

}  // namespace quern::cuda
