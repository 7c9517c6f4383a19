#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "quern/engine.h"
#include "quern/export.h"

// Measurement API that applications do not need: the cost of a step counted from shapes, the
// measured ceilings of the device, and the time of each node.

namespace quern {

/// Minimum cost of a step, counted from shapes: every operand is moved once.
struct StepCost {
  double weight_bytes = 0;
  double kv_bytes = 0;          ///< read from and appended to the KV cache
  double activation_bytes = 0;  ///< may stay in a GPU's caches
  double flops = 0;
};

/// The cost of a step that decodes one token for each of `num_seqs` sequences with `kv_len` tokens
/// each, including the new one.
QUERN_API StepCost decode_cost(const Engine& engine, int num_seqs, int kv_len);
/// The cost of a step that prefills `num_seqs` prompts of `prompt_len` tokens each, unchunked.
QUERN_API StepCost prefill_cost(const Engine& engine, int num_seqs, int prompt_len);

/// Measured read bandwidth of the device's memory in GB/s; takes a few milliseconds. Errors:
/// out_of_memory without a free gigabyte on a GPU.
QUERN_API double measure_read_gbps(Engine& engine);
/// Measured TFLOP/s of a large GEMM in the activation dtype: cuBLASLt's on a GPU, our own on the
/// CPU. Errors: out_of_memory; device without cuBLASLt.
QUERN_API double measure_product_tflops(Engine& engine);

/// All nodes of one kind (over the layers) in an average step.
struct NodeProfile {
  std::string kind;  ///< "qkv", "attention": the node's name without its layer
  double count_per_step = 0;
  double us_per_step = 0;     ///< total of the kind; on a GPU device time, without launch overhead
  double bytes_per_step = 0;  ///< minimum: weights, KV cache, inputs, outputs
  double gbps() const { return us_per_step > 0 ? bytes_per_step / us_per_step / 1e3 : 0; }
};

/// Profile of one phase; mixed steps count as prefill.
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

/// Where the device's time went, step by step. A device loop, which runs many decode steps, counts
/// as one launch with the tokens of its first step.
struct StepTimes {
  struct Kind {
    std::uint64_t num_launches = 0;
    std::uint64_t num_tokens = 0;  ///< rows of the steps, padding included
    double busy_ms = 0;            ///< on the device, from a step's first node to its last
    double idle_ms = 0;            ///< before them: the device waited for the host
  };
  Kind prefill;  ///< prompt tokens alone
  Kind mixed;    ///< prompt tokens and decode sequences
  Kind decode;
};

/// Of what was launched since loading or the last call; waits for it.
/// Errors: invalid_argument unless EngineOptions::time_steps is set.
QUERN_API StepTimes take_step_times(Engine& engine);

/// The layer graph including the runtime's nodes, one line per node; as ModelSummary::graph.
QUERN_API std::string graph_dump(const Engine& engine);

}  // namespace quern
