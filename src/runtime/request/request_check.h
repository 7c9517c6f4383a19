#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "quern/request.h"
#include "runtime/load/opened_model.h"
#include "runtime/schedule/sequence.h"

namespace quern {

/// Checks token ids of a caller. Errors: invalid_argument for none, for more than max_seq_len, and
/// for one outside the vocabulary, naming its index.
void check_prompt_ids(std::span<const std::int32_t> ids, int vocab_size, int max_seq_len);

/// What ends a request's text: the model's EOS ids unless they are ignored, and its own stop ids.
std::vector<std::int32_t> eos_token_ids_of(const Request& request, const OpenedModel& model);

/// Turns a request into a sequence ready for scheduling: prompt encoded and checked, sampling and
/// limits resolved; one answer, no beam search. Errors: invalid_argument, as in Engine::submit.
std::unique_ptr<Sequence> make_sequence(RequestId id, const Request& request,
                                        const OpenedModel& model, int max_seq_len);

/// See Engine::resolve. Errors: invalid_argument for values out of range and, where max_length asks
/// for the prompt's length, for a prompt of more than max_seq_len tokens.
Request resolve_request(const Request& request, const OpenedModel& model, int max_seq_len);

/// Which blocks of the prefix cache the sequence may share. With a rope whose base grows with the
/// sequence, generated tokens beyond the trained length belong to no prompt's prefix.
PrefixUse prefix_use(const OpenedModel& model, const Sequence& sequence, const KvFormat& kv_format);

/// The sequence's scale of the rope base, which its prompt's length fixes; see graph/rope.h.
float initial_rope_alpha(const OpenedModel& model, const Sequence& sequence);

}  // namespace quern
