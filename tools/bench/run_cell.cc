#include "tools/bench/run_cell.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <random>

#include "tools/bench/random_requests.h"
#include "tools/bench/sweep_plan.h"
#include "tools/output/text_table.h"
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

/// Runs the requests of a cell, warm-up and timed.
class CellRuns {
 public:
  CellRuns(Engine& engine, const BenchCell& cell, const BenchSettings& settings,
           const CellObservers& observers)
      : engine_(&engine),
        settings_(&settings),
        observers_(&observers),
        requests_(random_requests(engine, cell, settings.seed)) {}

  void warm_up(int output_len) {
    for (int i = 0; i < settings_->warm_up && !observers_->interrupted(); ++i) {
      run_once(output_len);
    }
  }

  std::vector<double> timed_runs(int output_len) {
    std::vector<double> times;
    double total_ms = 0.0;
    while ((std::ssize(times) < settings_->runs || total_ms < settings_->min_seconds * 1e3) &&
           !observers_->interrupted()) {
      const double ms = run_once(output_len);
      if (observers_->interrupted()) break;  // perhaps in the middle of that run
      times.push_back(ms);
      total_ms += ms;
    }
    return times;
  }

 private:
  /// Milliseconds from the first submit to the last result.
  double run_once(int output_len) {
    for (Request& request : requests_) request.max_new_tokens = output_len;
    const Clock::time_point begin = Clock::now();
    const std::vector<Result> results = engine_->generate(
        requests_, [&](const Update& /*update*/) { return !observers_->interrupted(); });
    const double ms = ms_since(begin);
    for (const Result& result : results) require_success(result.finish_reason, result.error);
    if (observers_->on_run) observers_->on_run();
    return ms;
  }

  Engine* engine_;
  const BenchSettings* settings_;
  const CellObservers* observers_;
  std::vector<Request> requests_;
};

void count_runs(const Timing& before, const Timing& after, CellResult& result) {
  const auto runs = static_cast<double>(std::max<std::size_t>(result.latencies.size(), 1));
  const auto per_run = [&](std::uint64_t first, std::uint64_t last) {
    return static_cast<double>(last - first) / runs;
  };
  result.steps_run = per_run(before.steps_run, after.steps_run);
  result.stop_checks = per_run(before.stop_checks, after.stop_checks);
  result.host_syncs = per_run(before.host_syncs, after.host_syncs);
  result.launches_per_step = after.launches_per_step;
  result.dependent_launches_per_step = after.dependent_launches_per_step;
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

/// Ceilings measured again differ by a few per cent.
constexpr double kLargestShare = 1.05;

std::optional<double> possible_share(double share) {
  return share <= kLargestShare ? std::optional(share) : std::nullopt;
}

/// Why a floor does not hold.
std::string beyond_floor(const Work& work, const Ceilings& ceilings, double measured_ms) {
  const double share = work.floor_ms(ceilings) / measured_ms;
  if (work.bound(ceilings) == "bytes") {
    return fmt::format(
        "{:.3g} times as fast as {} can be read at {:.4g} GB/s: they may lie in caches, or the "
        "runs scatter",
        share, human_bytes(static_cast<std::uint64_t>(work.bytes)), ceilings.read_gbps);
  }
  return fmt::format(
      "{:.3g} times as fast as matrix products of {:.3g} TFLOP/s: the runs or the measured rate "
      "scatter",
      share, ceilings.product_tflops);
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

std::optional<double> CellResult::decode_step() const {
  if (cell.output_len == 1 || latencies.empty() || prefills.empty()) return std::nullopt;
  const double step = (latency(0.5) - prefill_median()) / (cell.output_len - 1);
  return step > 0.0 ? std::optional(step) : std::nullopt;
}

double CellResult::tokens_per_s() const {
  if (latencies.empty()) return 0.0;
  return 1e3 * cell.batch_size * cell.output_len / latency(0.5);
}

double CellResult::prefill_tokens_per_s() const {
  if (prefills.empty()) return 0.0;
  return 1e3 * cell.batch_size * cell.input_len / prefill_median();
}

std::optional<double> CellResult::decode_tokens_per_s() const {
  const auto step = decode_step();
  return step ? std::optional(1e3 * cell.batch_size / *step) : std::nullopt;
}

std::optional<double> CellResult::above_floor_us() const {
  if (!decode_share_of_floor()) return std::nullopt;
  return (decode_step().value() - decode_floor_ms()) * 1e3;
}

std::optional<double> CellResult::prefill_share_of_floor() const {
  if (prefills.empty()) return std::nullopt;
  return possible_share(prefill_floor_ms() / prefill_median());
}

std::optional<double> CellResult::decode_share_of_floor() const {
  const auto step = decode_step();
  return step ? possible_share(decode_floor_ms() / *step) : std::nullopt;
}

std::vector<Withheld> CellResult::withheld() const {
  std::vector<Withheld> all;
  if (latencies.empty() || prefills.empty()) return all;
  if (!prefill_share_of_floor()) {
    all.push_back({"prefill", beyond_floor(prefill_work, ceilings, prefill_median())});
  }
  if (cell.output_len == 1) return all;
  const auto step = decode_step();
  if (!step) {
    all.push_back(
        {"decode", fmt::format("runs with {} new tokens took no longer than those with 1 (medians "
                               "{:.3f} and {:.3f} ms): more --runs or new tokens",
                               cell.output_len, latency(0.5), prefill_median())});
  } else if (!decode_share_of_floor()) {
    all.push_back({"decode", beyond_floor(decode_work, ceilings, *step)});
  }
  return all;
}

CellResult run_cell(Engine& engine, const BenchCell& cell, const BenchSettings& settings,
                    const Ceilings& ceilings, const CellObservers& observers) {
  CellResult result;
  result.cell = cell;
  result.ceilings = ceilings;
  count_work(engine, result);
  CellRuns runs(engine, cell, settings, observers);
  runs.warm_up(1);
  Timing before = engine.timing();
  result.prefills = runs.timed_runs(1);
  if (cell.output_len == 1) {
    result.latencies = result.prefills;
  } else {
    runs.warm_up(cell.output_len);
    before = engine.timing();
    result.latencies = runs.timed_runs(cell.output_len);
  }
  if (result.latencies.empty() || result.prefills.empty()) result.skipped = "interrupted";
  const Timing after = engine.timing();
  count_runs(before, after, result);
  result.memory = memory_of(engine.memory_plan(), after, cell);
  return result;
}

}  // namespace quern::tools
