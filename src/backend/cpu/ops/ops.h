#pragma once

#include <cstddef>

#include "base/threads/thread_pool.h"
#include "graph/graph.h"
#include "graph/limits.h"
#include "graph/step.h"

namespace quern::cpu {

// One function per op, each in a file of its name; see graph/op.h for the contract.
void run_embed(const Embed& op, const Step& step, ThreadPool& pool);
void run_norm_linear(const NormLinear& op, const Step& step, ThreadPool& pool);
void run_attention(const Attention& op, const Step& step, ThreadPool& pool);
void run_linear(const Linear& op, const Step& step, ThreadPool& pool);
void run_sample(const Sample& op, const Step& step, ThreadPool& pool);
void run_advance(const Advance& op, const Step& step);

// Scratch of the ops that need some, at the limits.
std::size_t norm_linear_workspace_bytes(const NormLinear& op, const Graph& graph,
                                        const Limits& limits, int threads);
std::size_t attention_workspace_bytes(const Attention& op, const Limits& limits, int threads);
std::size_t linear_workspace_bytes(const Linear& op, const Graph& graph, const Limits& limits,
                                   int threads);
std::size_t sample_workspace_bytes(const Sample& op, const Graph& graph, int threads);

}  // namespace quern::cpu
