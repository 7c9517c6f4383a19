#include "tools/bench/run_cell.h"

#include <algorithm>
#include <chrono>
#include <random>
#include <span>

#include "base/statistics.h"

namespace quern::tools {
namespace {

using Clock = std::chrono::steady_clock;

double ms_since(Clock::time_point begin) {
  return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
}

double percentile_of(std::vector<double> values, double fraction) {
  std::sort(values.begin(), values.end());
  return values.empty() ? 0.0 : percentile(values, fraction);
}

std::vector<Request> random_requests(const Engine& engine, const BenchCell& cell,
                                     std::uint64_t seed) {
  std::mt19937_64 generator(seed);
  std::uniform_int_distribution<std::int32_t> any_id(0, engine.info().vocab_size - 1);
  std::vector<Request> requests(static_cast<std::size_t>(cell.batch_size));
  for (Request& request : requests) {
    for (int position = 0; position < cell.input_len; ++position) {
      request.prompt_ids.push_back(any_id(generator));
    }
    request.sampling.greedy = true;
    request.ignore_end_ids = true;
  }
  return requests;
}

/// Milliseconds from the first submit to the last result.
double run_once(Engine& engine, std::span<Request> requests, int output_len) {
  for (Request& request : requests) request.max_new_tokens = output_len;
  const Clock::time_point begin = Clock::now();
  engine.generate(requests);
  return ms_since(begin);
}

void warm_up(Engine& engine, std::span<Request> requests, int output_len,
             const BenchSettings& settings, const Interrupted& interrupted) {
  for (int i = 0; i < settings.warm_up && !interrupted(); ++i) {
    run_once(engine, requests, output_len);
  }
}

std::vector<double> timed_runs(Engine& engine, std::span<Request> requests, int output_len,
                               const BenchSettings& settings, const Interrupted& interrupted) {
  std::vector<double> times;
  double total_ms = 0.0;
  while ((std::ssize(times) < settings.runs || total_ms < settings.min_seconds * 1e3) &&
         !interrupted()) {
    times.push_back(run_once(engine, requests, output_len));
    total_ms += times.back();
  }
  return times;
}

void count_runs(const Timing& before, const Timing& after, CellResult& result) {
  const auto runs = static_cast<double>(std::max<std::size_t>(result.latencies.size(), 1));
  const auto per_run = [&](std::uint64_t first, std::uint64_t last) {
    return static_cast<double>(last - first) / runs;
  };
  result.steps_run = per_run(before.steps_run, after.steps_run);
  result.stop_checks = per_run(before.stop_checks, after.stop_checks);
  result.host_syncs = per_run(before.host_syncs, after.host_syncs);
  result.launches_per_step = after.launches_per_step;
  result.library_calls_per_step = after.library_calls_per_step;
  result.loop = after.loop;
}

}  // namespace

double CellResult::latency(double fraction) const { return percentile_of(latencies, fraction); }

double CellResult::prefill_median() const { return percentile_of(prefills, 0.5); }

double CellResult::decode_step() const {
  if (cell.output_len == 1 || latencies.empty() || prefills.empty()) return 0.0;
  return (latency(0.5) - prefill_median()) / (cell.output_len - 1);
}

double CellResult::tokens_per_s() const {
  if (latencies.empty()) return 0.0;
  return 1e3 * cell.batch_size * cell.output_len / latency(0.5);
}

double CellResult::prefill_tokens_per_s() const {
  if (prefills.empty()) return 0.0;
  return 1e3 * cell.batch_size * cell.input_len / prefill_median();
}

double CellResult::decode_tokens_per_s() const {
  const double step = decode_step();
  return step > 0.0 ? 1e3 * cell.batch_size / step : 0.0;
}

CellResult run_cell(Engine& engine, const BenchCell& cell, const BenchSettings& settings,
                    const Interrupted& interrupted) {
  CellResult result;
  result.cell = cell;
  std::vector<Request> requests = random_requests(engine, cell, settings.seed);
  warm_up(engine, requests, 1, settings, interrupted);
  Timing before = engine.timing();
  result.prefills = timed_runs(engine, requests, 1, settings, interrupted);
  if (cell.output_len == 1) {
    result.latencies = result.prefills;
    count_runs(before, engine.timing(), result);
    return result;
  }
  warm_up(engine, requests, cell.output_len, settings, interrupted);
  before = engine.timing();
  result.latencies = timed_runs(engine, requests, cell.output_len, settings, interrupted);
  count_runs(before, engine.timing(), result);
  return result;
}

}  // namespace quern::tools
