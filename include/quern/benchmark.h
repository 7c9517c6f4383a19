#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "quern/engine.h"
#include "quern/export.h"

// What a benchmark needs of an engine and an application does not: the cost of a step counted from
// shapes, the ceilings of the device, and the time of each node.

namespace quern {

/// The least a step moves and computes, counted from shapes: every operand moved once.
struct StepCost {
  double weight_bytes = 0;
  double kv_bytes = 0;          ///< read from and appended to the KV cache
  double activation_bytes = 0;  ///< which may stay in a GPU's caches
  double flops = 0;
};

/// The cost of a step that decodes one token for each of `num_seqs` sequences with `kv_len` tokens
/// each, the new one included.
QUERN_API StepCost decode_cost(const Engine& engine, int num_seqs, int kv_len);
/// The cost of a step that runs `num_seqs` prompts of `prompt_len` tokens each, unchunked.
QUERN_API StepCost prefill_cost(const Engine& engine, int num_seqs, int prompt_len);

/// The read bandwidth of the device's memory, in GB/s; takes some milliseconds.
/// Errors: out_of_memory without a free gigabyte on a GPU.
QUERN_API double measure_read_gbps(Engine& engine);
/// The rate, in TFLOP/s, of a large matrix product in the activation dtype: cuBLASLt's on a GPU,
/// our own on the CPU. Errors: out_of_memory; device without cuBLASLt.
QUERN_API double measure_product_tflops(Engine& engine);

/// The nodes of one kind, the same in every layer, in an average step.
struct NodeProfile {
  std::string kind;  ///< "qkv", "attention": the node's name without its layer
  double count_per_step = 0;
  double us_per_step = 0;     ///< of all of them; on a GPU device time, without launch overhead
  double bytes_per_step = 0;  ///< the least they move: weights, KV cache, inputs, outputs
  double gbps() const { return us_per_step > 0 ? bytes_per_step / us_per_step / 1e3 : 0; }
};

/// Steps of one phase; one that mixes both counts as prefill.
struct PhaseProfile {
  std::uint64_t num_steps = 0;
  std::vector<NodeProfile> nodes;  ///< in the graph's order
};

struct Profile {
  double read_gbps = 0;  ///< the device's read bandwidth, measured while loading
  PhaseProfile prefill;
  PhaseProfile decode;
};

/// The time of each kind of node since loading.
/// Errors: invalid_argument unless EngineOptions::profile is set.
QUERN_API Profile profile(const Engine& engine);

/// The layer graph with the runtime's nodes, one line a node; as ModelSummary::graph.
QUERN_API std::string graph_dump(const Engine& engine);

}  // namespace quern
