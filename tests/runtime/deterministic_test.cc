// EngineOptions::deterministic on the CPU, where it changes nothing: the same bits in random mixes.
// tests/runtime/cuda/deterministic_test.cc has the GPU's.
#include <gtest/gtest.h>

#include "tests/runtime/cpu_engine.h"
#include "tests/runtime/run/random_mixes.h"

namespace quern {
namespace {

TEST(DeterministicEngine, TheCpuGivesTheSameBitsInAnyMix) {
  EngineOptions options;
  options.threads = 1;
  options.max_seq_len = 128;
  options.deterministic = true;
  options.max_seqs = 1;
  options.prefix_cache = false;
  Engine alone = load(options);
  EXPECT_TRUE(alone.options().deterministic);
  const auto known = testing::known_requests(alone, 12, 100, 6, 7);
  options.max_seqs = 8;
  options.max_tokens_per_step = 40;
  options.prefix_cache = true;
  Engine engine = load(options);
  testing::RandomMixes(engine, known, 8).run(6, 16);
}

TEST(DeterministicEngine, TheCpuTakesQuantizedWeightsAndCaches) {
  EngineOptions options;
  options.deterministic = true;
  options.quantize = DType::uint8;
  options.kv_cache_dtype = KvCacheDType::int8;
  EXPECT_EQ(load(options).generate(greedy("Once upon a time", 3)).output_ids.size(), 3u);
}

}  // namespace
}  // namespace quern
