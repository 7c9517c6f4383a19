// Log-probabilities of prompt tokens, from the steps that prefill them.
#include <algorithm>
#include <utility>

#include "runtime/engine_impl.h"
#include "runtime/output/prompt_logprobs.h"
#include "runtime/output/request_error.h"

namespace quern {

void Engine::Impl::take_prompt_logprobs(const ScheduledStep& step, const BatchView& batch) {
  const auto vocab_size = static_cast<std::size_t>(model_.config.vocab_size);
  bool any = false;
  int row = 0;
  for (const ScheduledRun& run : step.runs) {
    Sequence& sequence = *run.sequence;
    // What follows the last prompt token is sampled. After a preemption some are known already.
    const int begin = std::max(run.begin, sequence.output.num_prompt_logprobs());
    const int num_rows = std::min(run.begin + run.q_len, sequence.prompt_len() - 1) - begin;
    if (!run.decode && sequence.num_prompt_logprobs && num_rows > 0) {
      any = true;
      auto next = sequence.token_ids.begin() + begin + 1;
      runner_.read_logits(
          batch, row + begin - run.begin, num_rows, [&](std::span<const float> logits) {
            for (; !logits.empty(); logits = logits.subspan(vocab_size), ++next) {
              if (sequence.output.finished()) continue;
              TokenLogprobs token =
                  logprobs_of(logits.first(vocab_size), *next, *sequence.num_prompt_logprobs);
              if (token.id < 0) {
                sequence.output.fail(sample_error_text(token.id, *plan_.options.dtype));
                if (sequence.group) sequence.group->prompt_ready = true;  // the others compute it
              } else {
                sequence.output.add_prompt_logprobs(std::move(token));
              }
            }
          });
    }
    row += run.q_len;
  }
  if (any) runner_.restore_logits(batch);
}

}  // namespace quern
