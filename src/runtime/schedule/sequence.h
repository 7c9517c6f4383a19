#pragma once

#include <cstdint>
#include <vector>

#include "graph/step.h"
#include "runtime/output/sequence_output.h"

namespace quern {

/// A request under way. The host knows upper bounds; the state on the device knows what a sequence
/// really did.
struct Sequence {
  RequestId id = 0;
  std::vector<std::int32_t> prompt_ids;
  SamplingRow sampling;
  int max_tokens = 0;  ///< tokens to generate at most
  SequenceOutput output;

  // Set at admission.
  int state_row = -1;
  std::vector<std::int32_t> blocks = {};

  // Moved on as steps are launched, before their results are known.
  int prefilled = 0;  ///< prompt tokens in the KV cache
  int launched = 0;   ///< sampling steps: the most tokens it can have generated

  int prompt_len() const { return static_cast<int>(prompt_ids.size()); }
  bool decoding() const { return prefilled == prompt_len(); }
  /// Nothing more to launch: its limit is reached, if no end came before.
  bool exhausted() const { return launched >= max_tokens; }
};

}  // namespace quern
