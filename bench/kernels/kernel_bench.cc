// Times the CUDA kernels at the sizes of real models, relative to the read bandwidth measured in
// the same process. Weights are cold: consecutive launches use different ones.

#include "bench/kernels/kernel_bench.h"

#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <charconv>
#include <cstdio>
#include <map>
#include <optional>
#include <string_view>

#include "backend/cuda/driver/device_query.h"
#include "backend/cuda/stream/check_cuda.h"
#include "base/check.h"
#include "bench/kernels/bench_kernels.h"

namespace quern::bench {
namespace {

constexpr const char* kUsage =
    "usage: kernel_bench [--family NAME] [--filter TEXT] [--rows N,N,...] [--no-pdl] "
    "[--cold-gib N]\n"
    "                    [--json]\n"
    "  --family NAME   attention, float8, int8, projection, row, sample, skeleton, step; else all\n"
    "  --filter TEXT   only what has this in its name, like llama_7b or .qkv\n"
    "  --rows N,N,...  numbers of rows (1,2,4,8,16,32,64,128,512,2048)\n"
    "  --no-pdl        launches without programmatic dependent launch\n"
    "  --cold-gib N    memory that weights are taken from in turns, at least 3 (3)\n"
    "  --json          one JSON object instead of a table\n";

constexpr int kFewestColdGib = 3;

struct Options {
  std::string family;
  std::string filter;
  std::vector<int> rows = {1, 2, 4, 8, 16, 32, 64, 128, 512, 2048};
  bool no_pdl = false;
  int cold_gib = kFewestColdGib;
  bool json = false;
};

std::optional<std::vector<int>> parse_numbers(std::string_view text) {
  std::vector<int> rows;
  const char* at = text.data();
  const char* const end = text.data() + text.size();
  while (true) {
    int value = 0;
    const auto [next, error] = std::from_chars(at, end, value);
    if (error != std::errc() || value < 1) return std::nullopt;
    rows.push_back(value);
    if (next == end) return rows;
    if (*next != ',') return std::nullopt;
    at = next + 1;
  }
}

/// Nothing for invalid arguments.
std::optional<Options> parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view name = argv[i];
    if (name == "--json") {
      options.json = true;
    } else if (name == "--no-pdl") {
      options.no_pdl = true;
    } else if (i + 1 == argc) {
      return std::nullopt;
    } else if (name == "--family") {
      options.family = argv[++i];
    } else if (name == "--filter") {
      options.filter = argv[++i];
    } else if (name == "--rows") {
      auto rows = parse_numbers(argv[++i]);
      if (!rows) return std::nullopt;
      options.rows = *std::move(rows);
    } else if (name == "--cold-gib") {
      const auto gib = parse_numbers(argv[++i]);
      if (!gib || gib->size() != 1 || gib->front() < kFewestColdGib) return std::nullopt;
      options.cold_gib = gib->front();
    } else {
      return std::nullopt;
    }
  }
  return options;
}

/// GB/s of a long read.
double read_bandwidth(const KernelTimer& timer) {
  constexpr std::int64_t kBytes = std::int64_t{1} << 30;
  ColdMemory memory(timer, DType::float16, 1.0f);
  const double us = timer.time_us(ColdMemory::num_launches(kBytes), [&](int) {
    ReadParams params;
    params.data = memory.take(kBytes);
    params.size_bytes = kBytes;
    params.num_multiprocessors = timer.num_multiprocessors();
    read_memory(params, timer.stream().get());
  });
  return static_cast<double>(kBytes) / us * 1e-3;
}

int run(const Options& options) {
  const std::map<std::string, void (*)(const KernelBench&)> families = {
      {"attention", bench_attention},    {"float8", bench_float8}, {"int8", bench_int8},
      {"projection", bench_projections}, {"row", bench_rows},      {"sample", bench_sampling},
      {"skeleton", bench_skeletons},     {"step", bench_steps},
  };
  if (!options.family.empty() && families.count(options.family) == 0) {
    fmt::print(stderr, "error: --family: no family is called {}\n{}", options.family, kUsage);
    return 2;
  }
  const CudaEnvironment environment = query_cuda();
  if (!environment.unavailable_reason.empty()) {
    fail(ErrorCode::device, "CUDA cannot be used: {}", environment.unavailable_reason);
  }
  KernelTimer timer;
  if (options.no_pdl) timer.disable_pdl();
  timer.set_cold_bytes(std::int64_t{options.cold_gib} << 30);
  BenchReport report(options.json, environment.gpus.front().name, read_bandwidth(timer));
  const KernelBench bench{timer, report, options.rows, options.filter};
  for (const auto& [name, run_family] : families) {
    if (options.family.empty() || options.family == name) run_family(bench);
  }
  report.finish();
  return 0;
}

}  // namespace
}  // namespace quern::bench

int main(int argc, char** argv) {
  const auto options = quern::bench::parse(argc, argv);
  if (!options) {
    static_cast<void>(std::fputs(quern::bench::kUsage, stderr));
    return 2;
  }
  try {
    return quern::bench::run(*options);
  } catch (const std::exception& error) {
    fmt::print(stderr, "error: {}\n", error.what());
    return 1;
  }
}
