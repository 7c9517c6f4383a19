#pragma once

#include <string>
#include <vector>

#include "bench/kernels/bench_report.h"
#include "bench/kernels/kernel_timer.h"

namespace quern::bench {

/// Common context of the benchmark families.
struct KernelBench {
  KernelTimer& timer;
  BenchReport& report;
  std::vector<int> rows;  ///< numbers of rows to measure
  std::string filter;     ///< substring of the names to measure

  bool wants(const std::string& name) const { return name.find(filter) != std::string::npos; }
};

// One function per family, each in a file of its name.

/// Attention of real layers: decode at many contexts and batches, and prefill.
void bench_attention(const KernelBench& bench);
/// Projections of rows rounded to E4M3 by E4M3 weights: rounding, and the GEMM of E4M3.
void bench_float8(const KernelBench& bench);
/// Projections of rows rounded to int8 by int8 weights: rounding, and the GEMMs of integers.
void bench_int8(const KernelBench& bench);
/// Sampling settings over vocabularies of real models.
void bench_sampling(const KernelBench& bench);
/// Projections of real layers: the backend's choice, each kernel that supports them, and the
/// library.
void bench_projections(const KernelBench& bench);
/// All projections of decode steps, in their order.
void bench_steps(const KernelBench& bench);
/// The kernels around the GEMMs: norms, embeddings, epilogues after the library, and advance.
void bench_rows(const KernelBench& bench);
/// Read-bandwidth floor of a decode step's launches.
void bench_skeletons(const KernelBench& bench);

}  // namespace quern::bench
