#pragma once

#include <memory>
#include <vector>

#include "graph/kv_format.h"
#include "graph/limits.h"
#include "quern/request.h"
#include "runtime/load/opened_model.h"
#include "runtime/schedule/sequence.h"

namespace quern {

/// A request's sequences, ready for scheduling: one for each answer, or one for a beam search.
/// Errors: those of make_sequence(); invalid_argument for numbers of beams and answers that are out
/// of range or do not go together, for several greedy answers, and for what a beam search cannot
/// have, naming it.
std::vector<std::unique_ptr<Sequence>> make_sequences(RequestId id, const Request& request,
                                                      const OpenedModel& model,
                                                      const Limits& limits);

/// Lets sequences use the prefix cache; without one, answers still share their prompt.
void set_prefix_use(std::vector<std::unique_ptr<Sequence>>& sequences, const OpenedModel& model,
                    const KvFormat& kv_format, bool prefix_cache);

/// The Result of a request of several answers.
Result merged_result(AnswerGroup& group);

}  // namespace quern
