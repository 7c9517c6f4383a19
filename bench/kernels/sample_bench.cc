#include <array>

#include "backend/cuda/ops/ops.h"
#include "bench/kernels/device_arrays.h"
#include "bench/kernels/kernel_bench.h"

namespace quern::bench {
namespace {

constexpr std::size_t kNumCounters = std::size_t{1} << 16;

/// A sampling setting, and the range of logits: within 1/10 nearly all tokens are equally likely,
/// within 16 a few hundred have all the probability.
struct SampleSetting {
  const char* name = nullptr;
  float logit_range = 16.0f;
  SamplingRow row = {};
};

const std::vector<SampleSetting>& settings() {
  static const std::vector<SampleSetting> settings = {
      {"greedy", 16.0f, {}},
      {"temperature", 16.0f, {.temperature = 1.0f}},
      {"top_k", 16.0f, {.temperature = 1.0f, .top_k = 50}},
      {"top_p", 16.0f, {.temperature = 1.0f, .top_p = 0.9f}},
      {"top_p_flat", 0.1f, {.temperature = 1.0f, .top_p = 0.9f}},
      {"top_k_p", 16.0f, {.temperature = 1.0f, .top_p = 0.9f, .top_k = 50}},
      {"min_p", 16.0f, {.temperature = 1.0f, .min_p = 0.05f}},
      {"top_n_sigma", 16.0f, {.temperature = 1.0f, .top_n_sigma = 1.0f}},
      {"typical_p", 16.0f, {.temperature = 1.0f, .typical_p = 0.9f}},
      {"eta_cutoff", 16.0f, {.temperature = 1.0f, .eta_cutoff = 0.002f}},
      {"xtc", 16.0f, {.temperature = 1.0f, .xtc_probability = 1.0f}},
      {"dry", 16.0f, {.dry_multiplier = 0.8f}},
      {"logprobs", 16.0f, {.num_top_logprobs = 5}},
      {"repetition", 16.0f, {.repetition_penalty = 1.1f}},
  };
  return settings;
}

void measure(const KernelBench& bench, const SampleSetting& setting, int vocab_size, int rows) {
  constexpr std::int64_t kHistory = 256;
  constexpr int kLaunches = 64;
  DeviceArrays arrays(bench.timer);
  const auto count = static_cast<std::size_t>(rows);
  const std::array<Tensor, 1> values = {
      Tensor{arrays.random(DType::float32, std::int64_t{rows} * vocab_size, setting.logit_range),
             rows, vocab_size, vocab_size, DType::float32, Device{DeviceKind::cuda, 0}}};
  std::vector<std::int32_t> index(count);
  std::vector<SamplingRow> sampling(count, setting.row);
  for (std::size_t i = 0; i < count; ++i) {
    index[i] = static_cast<std::int32_t>(i);
    sampling[i].seed = i;
  }
  Step step;
  step.values = values;
  step.batch.num_logit_rows = rows;
  step.batch.logit_seqs = arrays.upload(index);
  step.batch.state_index = step.batch.logit_seqs;
  SequenceState& state = step.state;
  state.last_token = arrays.upload(index);
  state.finished = arrays.upload(std::vector<std::int32_t>(count, 0));
  state.generated = arrays.upload(std::vector<std::int32_t>(count, kHistory / 2));
  state.prompt_len = state.generated;
  state.history_stride = kHistory;
  state.history = arrays.upload(std::vector<std::int32_t>(count * kHistory, 7));
  step.sampling = arrays.upload(sampling);
  step.ring.capacity = 1;
  step.ring.max_seqs = rows;
  step.ring.head = arrays.upload(std::vector<std::int64_t>(1, 0));
  step.ring.logprobs = arrays.upload(std::vector<float>(count));
  step.ring.top_ids = arrays.upload(std::vector<std::int32_t>(count * kMaxTopLogprobs));
  step.ring.top_logprobs = arrays.upload(std::vector<float>(count * kMaxTopLogprobs));

  Graph graph;
  graph.values = {{Rows::logit_rows, vocab_size, DType::float32, "logits"}};
  Limits limits;
  limits.max_logit_rows = rows;
  const std::size_t scratch = cuda::sample_workspace_bytes({ValueId{0}}, graph, limits);
  step.workspace = {arrays.zeros(scratch), scratch};
  cuda::OpContext context;
  context.stream = bench.timer.stream().get();
  context.num_multiprocessors = bench.timer.num_multiprocessors();
  context.counters = {
      reinterpret_cast<std::uint32_t*>(arrays.zeros(kNumCounters * sizeof(std::uint32_t))),
      kNumCounters};
  context.sample_tickets = context.counters.data() + kNumCounters - 1;
  context.use_pdl = bench.timer.use_pdl();

  Measurement m{"sample", std::to_string(vocab_size), setting.name, rows};
  m.us = bench.timer.time_us(kLaunches,
                             [&](int) { cuda::run_sample(Sample{ValueId{0}}, step, context); });
  m.bytes = 4.0 * rows * vocab_size;
  bench.report.add(m);
}

}  // namespace

void bench_sampling(const KernelBench& bench) {
  for (const int vocab_size : {50257, 151936}) {
    for (const SampleSetting& setting : settings()) {
      if (!bench.wants(setting.name)) continue;
      for (const int rows : {1, 8, 32}) measure(bench, setting, vocab_size, rows);
    }
  }
}

}  // namespace quern::bench
