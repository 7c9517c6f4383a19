#include <array>

#include "backend/cpu/ops/ops.h"
#include "backend/cpu/parallel.h"
#include "backend/cpu/views.h"
#include "base/check.h"
#include "weights/weight.h"

namespace quern::cpu {
namespace {

/// out += one row of a weight.
void add_row(const Weight& weight, std::int64_t row, std::span<float> out) {
  std::array<float, 256> part;
  for (std::size_t begin = 0; begin < out.size(); begin += part.size()) {
    const auto count = std::min(part.size(), out.size() - begin);
    dequantize_row(weight, row, static_cast<std::int64_t>(begin), {part.data(), count});
    for (std::size_t i = 0; i < count; ++i) out[begin + i] += part[i];
  }
}

}  // namespace

void run_embed(const Embed& op, const Step& step, ThreadPool& pool) {
  const Tensor& out = step.value(op.out);
  const Weight& tokens = step.weight(op.token_embedding);
  const int num_tokens = step.batch.num_tokens;
  parallel_for(pool, num_tokens * out.cols, num_tokens, [&](std::int64_t row, int) {
    const int seq = sequence_of_row(step.batch, row);
    const std::int32_t id = step.token_id(seq, static_cast<int>(row));
    QUERN_CHECK(id >= 0 && id < tokens.out_features, "token id {}, vocabulary of {}", id,
                tokens.out_features);
    const std::span<float> values = float_row(out, row);
    dequantize_row(tokens, id, values);
    if (!op.position_embedding) return;

    const Weight& positions = step.weight(*op.position_embedding);
    const std::int32_t position = step.position(seq, static_cast<int>(row));
    QUERN_CHECK(position >= 0 && position < positions.out_features, "position {} of {}", position,
                positions.out_features);
    add_row(positions, position, values);
  });
}

}  // namespace quern::cpu
