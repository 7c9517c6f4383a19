#pragma once

#include <cstdint>
#include <span>

#include "graph/graph.h"
#include "graph/kv_format.h"
#include "weights/weight.h"

namespace quern {

/// Sizes of a step's work.
struct StepSizes {
  std::int64_t num_tokens = 0;
  std::int64_t num_logit_rows = 0;
  std::int64_t kv_slots = 0;  ///< that attention reads at least once, over all sequences
  double attended_pairs = 0;  ///< of a token and a slot that it sees; it may exceed 64 bits
};

/// Minimum cost of a node, counted from shapes: each operand is moved once.
struct NodeCost {
  double weight_bytes = 0;
  double kv_bytes = 0;          ///< read from and appended to the KV cache
  double activation_bytes = 0;  ///< values read and written
  double flops = 0;             ///< multiplications and additions of GEMMs and attention

  double bytes() const { return weight_bytes + kv_bytes + activation_bytes; }
  NodeCost& operator+=(const NodeCost& other);
};

/// The storage formats of a graph's numbers.
struct StoredFormats {
  std::span<const Weight> weights;  ///< by WeightId
  KvFormat kv_cache;
};

/// The cost of one node of `graph`.
NodeCost node_cost(const Graph& graph, const Node& node, const StoredFormats& stored,
                   const StepSizes& sizes);

/// The sizes of a step that decodes one token for each of `num_seqs` sequences with `kv_len` slots
/// each, including the new one.
StepSizes decode_sizes(std::int64_t num_seqs, std::int64_t kv_len);
/// The sizes of a step that prefills `num_seqs` prompts of `prompt_len` tokens, unchunked.
StepSizes prefill_sizes(std::int64_t num_seqs, std::int64_t prompt_len);

}  // namespace quern
