// EngineOptions::deterministic: what a request gives alone it gives to the bit in 1000 random
// mixes, whatever the others, slots, chunks, cached prefixes, preemptions and cancellations.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "quern/error.h"
#include "tests/runtime/cuda/gpu_engine.h"
#include "tests/runtime/run/random_mixes.h"
#include "tests/support/expect_error.h"

namespace quern {
namespace {

struct Subject {
  std::string name;
  ModelSource source;
  DType dtype;
  int max_prompt_len = 150;
  int max_new_tokens = 24;
};

Subject demo(const std::string& name, DType dtype) {
  return {name, testing::demo_model(name).string(), dtype};
}
/// The first layers of a real model: prompts of several KV splits, other tiles of weights.
Subject random_model(const std::string& shape, int num_layers, DType dtype) {
  return {shape, RandomModel{.shape = shape, .num_layers = num_layers, .outliers = true}, dtype,
          700, 16};
}

std::vector<Subject> subjects() {
  using enum DType;
  return {demo("tale-llama", float16),
          demo("tale-llama", float32),
          demo("tale-qwen2", bfloat16),
          demo("tale-qwen2", float16),
          demo("tale-qwen2", float32),
          demo("tale-gpt2", float16),
          demo("tale-gpt2", bfloat16),
          demo("tale-qwen", float16),
          random_model("gpt_350m", 2, float16),
          random_model("qwen2.5_0.5b", 2, bfloat16),
          random_model("qwen3_0.6b", 2, bfloat16),
          random_model("llama_7b", 1, float16)};
}

/// Times the subjects: 1008.
constexpr int kMixesOfSubject = 84;

class GpuDeterminism : public testing::GpuEngineTest,
                       public ::testing::WithParamInterface<Subject> {
 protected:
  static EngineOptions options(int max_seqs, int max_tokens_per_step) {
    const Subject& subject = GetParam();
    EngineOptions options;
    options.device = DeviceChoice::cuda;
    options.dtype = subject.dtype;
    options.deterministic = true;
    options.max_seqs = max_seqs;
    options.max_tokens_per_step = max_tokens_per_step;
    options.max_seq_len = subject.max_prompt_len + subject.max_new_tokens;
    return options;
  }

  static void run(const EngineOptions& options, const testing::KnownRequests& known, int num_mixes,
                  std::uint32_t seed) {
    Engine engine = Engine::load(GetParam().source, options);
    testing::RandomMixes(engine, known, seed).run(num_mixes, options.max_seqs);
  }

  static testing::KnownRequests alone() {
    EngineOptions one = options(1, 1024);
    one.prefix_cache = false;
    one.device_loop = DeviceLoopChoice::off;
    Engine engine = Engine::load(GetParam().source, one);
    return testing::known_requests(engine, 40, GetParam().max_prompt_len, GetParam().max_new_tokens,
                                   17);
  }
};

TEST_P(GpuDeterminism, AMixOfRequestsGivesTheBitsOfEachAlone) {
  const testing::KnownRequests known = alone();
  {
    SCOPED_TRACE("64 sequences, prefix cache");
    run(options(64, 512), known, kMixesOfSubject / 3, 1);
  }
  {
    SCOPED_TRACE("33 sequences, small chunks, host loop");
    EngineOptions chunks = options(33, 40);
    chunks.max_mixed_tokens = 35;
    chunks.prefix_cache = false;
    chunks.device_loop = DeviceLoopChoice::off;
    chunks.check_interval = 3;
    run(chunks, known, kMixesOfSubject / 3, 2);
  }
  {
    SCOPED_TRACE("24 sequences, preemption");
    EngineOptions small = options(24, 256);
    small.kv_reservation = KvReservation::grow;
    const MemoryPlan plan = inspect(GetParam().source, small).memory_plan;
    const auto blocks = static_cast<std::uint64_t>((small.max_seq_len + 31) / 32 + 12);
    small.kv_cache_memory_bytes =
        plan.kv_cache_bytes / static_cast<std::uint64_t>(plan.num_kv_blocks) * blocks;
    run(small, known, kMixesOfSubject / 3, 3);
  }
}

INSTANTIATE_TEST_SUITE_P(Models, GpuDeterminism, ::testing::ValuesIn(subjects()),
                         [](const auto& instance) {
                           std::string name =
                               instance.param.name + "_" + dtype_name(instance.param.dtype);
                           for (char& c : name) c = std::isalnum(c) != 0 ? c : '_';
                           return name;
                         });

using GpuDeterminismLimits = testing::GpuEngineTest;

/// The tokens of preempted sequences are computed anew by prefill: a cache this small preempts.
TEST_F(GpuDeterminismLimits, PreemptedSequencesGoOnWithTheSameBits) {
  EngineOptions options;
  options.deterministic = true;
  options.dtype = DType::float16;
  options.prefix_cache = false;
  options.max_seq_len = 224;
  options.max_seqs = 6;
  options.kv_reservation = KvReservation::grow;
  options.device = DeviceChoice::cuda;
  const std::string model = testing::demo_model("tale-gpt2").string();
  std::vector<Request> requests;
  std::uint64_t num_prompt_tokens = 0;
  for (int i = 0; i < 6; ++i) {
    Request request = endless("", 150);
    for (int k = 0; k < 10 + 3 * i; ++k) request.prompt_ids.push_back(10 + (k * 37 + i) % 1500);
    request.top_logprobs = 2;
    num_prompt_tokens += request.prompt_ids.size();
    requests.push_back(request);
  }
  const MemoryPlan plan = inspect(model, options).memory_plan;
  Engine whole = load(options, "tale-gpt2");
  options.kv_cache_memory_bytes =
      plan.kv_cache_bytes / static_cast<std::uint64_t>(plan.num_kv_blocks) * 12;
  Engine small = load(options, "tale-gpt2");
  const auto results = small.generate(requests);
  EXPECT_GT(small.timing().prefill_tokens, num_prompt_tokens) << "there was no preemption";
  for (std::size_t i = 0; i < requests.size(); ++i) {
    SCOPED_TRACE(i);
    testing::expect_same_bits(results[i], whole.generate(requests[i]));
  }
}

TEST_F(GpuDeterminismLimits, RefusesWhatItDoesNotSupport) {
  EngineOptions options;
  options.deterministic = true;
  options.quantize = DType::uint4;
  EXPECT_QUERN_ERROR(ErrorCode::unsupported, ({"deterministic", "uint4"}), load(options));
  options.quantize.reset();
  options.kv_cache_dtype = KvCacheDType::fp8;
  EXPECT_QUERN_ERROR(ErrorCode::unsupported, ({"deterministic", "kv_cache_dtype", "fp8"}),
                     load(options));
}

}  // namespace
}  // namespace quern
