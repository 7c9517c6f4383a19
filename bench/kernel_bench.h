#pragma once

#include <string>
#include <vector>

#include "bench/bench_report.h"
#include "bench/kernel_timer.h"

namespace quern::bench {

/// What every family of benchmarks works with.
struct KernelBench {
  KernelTimer& timer;
  BenchReport& report;
  std::vector<int> rows;  ///< numbers of rows to measure
  std::string filter;     ///< a part of the names to measure

  bool wants(const std::string& name) const { return name.find(filter) != std::string::npos; }
};

// One function a family, each in the file of its name.

/// Attention of real layers: decode at many contexts and batches, and prefill.
void bench_attention(const KernelBench& bench);
/// Sample's settings over vocabularies of real models.
void bench_sampling(const KernelBench& bench);
/// Projections of real layers: what the backend runs, each kernel that could, and the library.
void bench_projections(const KernelBench& bench);
/// All projections of decode steps, in their order.
void bench_steps(const KernelBench& bench);
/// The kernels around the products: norms, embeddings, epilogues behind the library, and a step's
/// end.
void bench_rows(const KernelBench& bench);
/// A decode step's launches as mere reads of the bytes that they must read.
void bench_skeletons(const KernelBench& bench);

}  // namespace quern::bench
