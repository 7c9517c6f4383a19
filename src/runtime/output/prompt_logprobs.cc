#include "runtime/output/prompt_logprobs.h"

#include <algorithm>
#include <limits>

#include "backend/cpu/sample/log_softmax.h"
#include "graph/step.h"

namespace quern {

TokenLogprobs logprobs_of(std::span<const float> logits, std::int32_t token_id, int num_top) {
  TokenLogprobs token;
  if (cpu::has_nonfinite(logits)) {
    token.id = static_cast<std::int32_t>(SampleError::nonfinite_logits);
    return token;
  }
  if (std::ranges::max(logits) == -std::numeric_limits<float>::infinity()) {
    token.id = static_cast<std::int32_t>(SampleError::no_token);
    return token;
  }
  const float normalizer = cpu::log_sum_exp(logits);
  token.id = token_id;
  token.logprob = logits[static_cast<std::size_t>(token_id)] - normalizer;
  for (const cpu::Candidate& best : cpu::largest(logits, num_top)) {
    token.top.push_back({best.id, best.score - normalizer});
  }
  return token;
}

}  // namespace quern
