#include "tools/bench/run_cell.h"

#include <algorithm>
#include <chrono>
#include <random>
#include <span>

#include "tools/bench/random_requests.h"
#include "tools/bench/sweep_plan.h"
#include "tools/quality/statistics.h"

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
  std::vector<Request> requests;
  requests.reserve(cell.batch_size);
  for (int i = 0; i < cell.batch_size; ++i) {
    requests.push_back(
        random_request(generator, engine.info().vocab_size, cell.input_len, cell.output_len));
  }
  return requests;
}

/// Milliseconds from the first submit to the last result.
double run_once(Engine& engine, std::span<Request> requests, int output_len) {
  for (Request& request : requests) request.max_new_tokens = output_len;
  const Clock::time_point begin = Clock::now();
  const std::vector<Result> results = engine.generate(requests);
  const double ms = ms_since(begin);
  for (const Result& result : results) require_success(result.finish_reason, result.error);
  return ms;
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

void count_work(const Engine& engine, CellResult& result) {
  const BenchCell& cell = result.cell;
  const std::int64_t prompt_tokens = std::int64_t{cell.batch_size} * cell.input_len;
  const std::int64_t per_step = engine.options().max_tokens_per_step;
  const auto prefill_steps = static_cast<int>((prompt_tokens + per_step - 1) / per_step);
  result.prefill_work =
      work_of(prefill_cost(engine, cell.batch_size, cell.input_len), prefill_steps);
  result.decode_work =
      work_of(decode_cost(engine, cell.batch_size, cell.input_len + cell.output_len / 2));
}

CellMemory memory_of(const MemoryPlan& plan, const Timing& timing, const BenchCell& cell) {
  CellMemory memory;
  memory.weight_bytes = plan.weight_bytes;
  memory.kv_cache_bytes = kv_cache_bytes(plan, cell);
  memory.activation_bytes = plan.activation_bytes;
  memory.workspace_bytes = plan.workspace_bytes;
  memory.peak_bytes = timing.peak_memory_bytes;
  const std::uint64_t planned =
      plan.weight_bytes + plan.kv_cache_bytes + plan.activation_bytes + plan.workspace_bytes;
  memory.context_bytes = memory.peak_bytes - std::min(memory.peak_bytes, planned);
  return memory;
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

double CellResult::above_floor_us() const {
  const double step = decode_step();
  return step > 0.0 ? (step - decode_floor_ms()) * 1e3 : 0.0;
}

double CellResult::prefill_share_of_floor() const {
  return prefills.empty() ? 0.0 : prefill_floor_ms() / prefill_median();
}

double CellResult::decode_share_of_floor() const {
  const double step = decode_step();
  return step > 0.0 ? decode_floor_ms() / step : 0.0;
}

CellResult run_cell(Engine& engine, const BenchCell& cell, const BenchSettings& settings,
                    const Ceilings& ceilings, const Interrupted& interrupted) {
  CellResult result;
  result.cell = cell;
  result.ceilings = ceilings;
  count_work(engine, result);
  std::vector<Request> requests = random_requests(engine, cell, settings.seed);
  warm_up(engine, requests, 1, settings, interrupted);
  Timing before = engine.timing();
  result.prefills = timed_runs(engine, requests, 1, settings, interrupted);
  if (cell.output_len == 1) {
    result.latencies = result.prefills;
  } else {
    warm_up(engine, requests, cell.output_len, settings, interrupted);
    before = engine.timing();
    result.latencies = timed_runs(engine, requests, cell.output_len, settings, interrupted);
  }
  if (result.latencies.empty() || result.prefills.empty()) result.skipped = "interrupted";
  const Timing after = engine.timing();
  count_runs(before, after, result);
  result.memory = memory_of(engine.memory_plan(), after, cell);
  return result;
}

}  // namespace quern::tools
