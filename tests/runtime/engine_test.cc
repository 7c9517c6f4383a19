#include "quern/engine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <map>
#include <string>
#include <thread>

#include "quern/benchmark.h"
#include "quern/devices.h"
#include "tests/runtime/cpu_engine.h"
#include "tests/runtime/golden.h"
#include "tests/support/expect_error.h"

namespace quern {
namespace {

using Ids = std::vector<std::int32_t>;

class BatchTest : public ::testing::TestWithParam<std::tuple<std::string, bool>> {};

TEST_P(BatchTest, GivesWhatEachRequestGivesAlone) {
  const auto& [model, sampled] = GetParam();
  EngineOptions options;
  options.max_seqs = 16;
  options.max_tokens_per_step = 96;  // so that prefill and decode mix
  Engine batched = load(options, model);
  const auto requests = sixteen_requests(sampled);
  const auto together = batched.generate(requests);
  Engine single = load({}, model);
  for (std::size_t i = 0; i < requests.size(); ++i) {
    EXPECT_EQ(together[i].output_ids, single.generate(requests[i]).output_ids) << i;
    EXPECT_EQ(together[i].finish_reason == FinishReason::length,
              std::ssize(together[i].output_ids) == requests[i].max_new_tokens);
  }
}

INSTANTIATE_TEST_SUITE_P(Models, BatchTest,
                         ::testing::Combine(::testing::Values("tale-gpt2", "tale-llama",
                                                              "tale-qwen", "tale-qwen2"),
                                            ::testing::Bool()));

TEST(Engine, MoreRequestsThanRowsTakeTurns) {
  EngineOptions options;
  options.max_seqs = 3;
  options.check_interval = 4;
  Engine few = load(options);
  const auto requests = sixteen_requests(true);
  const auto results = few.generate(requests);
  Engine single = load();
  for (std::size_t i = 0; i < requests.size(); ++i) {
    EXPECT_EQ(results[i].output_ids, single.generate(requests[i]).output_ids) << i;
  }
}

TEST(Engine, ChunkedPrefillGivesTheLogitsOfOneChunk) {
  Ids ids;
  for (int i = 0; i < 700; ++i) ids.push_back(3 + (i * 37) % 2000);
  for (const auto& golden : testing::golden_models()) {
    EngineOptions chunked, whole;
    chunked.max_tokens_per_step = 64;
    whole.max_tokens_per_step = 1024;
    const auto a = load(chunked, golden.model).logits(ids);
    const auto b = load(whole, golden.model).logits(ids);
    EXPECT_TRUE(a == b) << golden.model;
  }
}

TEST(Engine, EndsWithContextWhenTheRoomIsSmallerThanTheWish) {
  EngineOptions options;
  options.max_seq_len = 20;
  Engine engine = load(options);
  Request request = greedy("The king had three sons.", 50);
  const Result result = engine.generate(request);
  EXPECT_EQ(result.finish_reason, FinishReason::context);
  // The last token is never fed back, so that it need not fit.
  EXPECT_EQ(result.prompt_ids.size() + result.output_ids.size(), 21u);

  request.prompt_ids.assign(20, 5);
  const Result full = engine.generate(request);
  EXPECT_EQ(full.finish_reason, FinishReason::context);
  EXPECT_EQ(full.output_ids.size(), 1u);

  // A context of whole KV blocks, which the prompt fills.
  options.max_seq_len = 64;
  request.prompt_ids.assign(64, 5);
  EXPECT_EQ(load(options).generate(request).output_ids.size(), 1u);
}

TEST(Engine, SeedDecidesAndIsTold) {
  Engine engine = load();
  Request request = greedy("Once upon a time", 30);
  request.sampling = {};
  request.sampling.temperature = 1.0f;
  const Result first = engine.generate(request);
  const Result other = engine.generate(request);
  EXPECT_NE(first.seed, other.seed);
  EXPECT_NE(first.output_ids, other.output_ids);
  request.sampling.seed = first.seed;
  EXPECT_EQ(engine.generate(request).output_ids, first.output_ids);
}

TEST(Engine, LogitBiasBansAndForces) {
  Engine engine = load();
  Request request = greedy("Once upon a time", 5);
  const Ids plain = engine.generate(request).output_ids;
  request.sampling.logit_bias = {{plain[0], -1000.0f}};
  EXPECT_NE(engine.generate(request).output_ids[0], plain[0]);
  request.sampling.logit_bias = {{777, 1000.0f}};
  EXPECT_EQ(engine.generate(request).output_ids, Ids(5, 777));
}

TEST(Engine, LowPrecisionStaysNearFloat32) {
  for (const auto& golden : testing::golden_models()) {
    Engine reference = load({}, golden.model);
    const Ids ids = reference.tokenizer().encode("The king had three sons, and the eldest said");
    const auto expected = reference.logits(ids);
    // Normalized by the logits' power. Some twenty roundings, each with a variance of a twelfth of
    // a squared ulp, add up to under two squared ulps; attention's exponentials, of scores up to 60
    // in these models, and the last norm may magnify it fifty times.
    for (const auto& [dtype, unit] :
         {std::pair{DType::float16, 0x1p-11}, std::pair{DType::bfloat16, 0x1p-8}}) {
      EngineOptions options;
      options.dtype = dtype;
      const auto actual = load(options, golden.model).logits(ids);
      double error = 0;
      double power = 0;
      for (std::size_t i = 0; i < actual.size(); ++i) {
        error += std::pow(double{actual[i]} - expected[i], 2);
        power += std::pow(double{expected[i]}, 2);
      }
      EXPECT_LT(error / power, 100 * unit * unit) << golden.model << " " << dtype_name(dtype);
      EXPECT_GT(error, 0.0);
    }
  }
}

TEST(Engine, SmallKvCacheOnlyMakesRequestsWait) {
  EngineOptions options;
  options.max_seqs = 16;
  options.max_seq_len = 256;
  options.kv_cache_memory_bytes = 256 * 1024 * 4;
  Engine engine = load(options);
  EXPECT_LE(engine.memory_plan().kv_cache_bytes, *options.kv_cache_memory_bytes);
  const auto requests = sixteen_requests(false);
  const auto results = engine.generate(requests);
  const auto expected = load().generate(requests);
  for (std::size_t i = 0; i < results.size(); ++i) {
    EXPECT_EQ(results[i].output_ids, expected[i].output_ids);
  }
}

TEST(Engine, CancellingWhatDoesNotRunDisturbsNothing) {
  EngineOptions options;
  options.max_seqs = 1;
  options.check_interval = 1000;  // one stop check, at the limit, unless one is forced earlier
  Engine engine = load(options);
  const RequestId running = engine.submit(greedy("Once upon a time", 30));
  const RequestId waiting = engine.submit(greedy("The king", 30));
  engine.step();
  EXPECT_EQ(engine.timing().stop_checks, 0u);
  engine.cancel(0);
  engine.cancel(waiting + 1);  // an id that is yet to be given
  engine.cancel(waiting);
  engine.step();
  EXPECT_EQ(engine.timing().stop_checks, 1u);
  EXPECT_EQ(engine.take_result(waiting)->finish_reason, FinishReason::cancelled);
  EXPECT_EQ(engine.take_result(running)->finish_reason, FinishReason::length);
  engine.cancel(running);  // finished
  const RequestId next = engine.submit(greedy("The king", 5));
  EXPECT_EQ(next, waiting + 1);
  while (engine.busy()) engine.step();
  EXPECT_EQ(engine.take_result(next)->finish_reason, FinishReason::length);
}

TEST(Engine, CancelMayComeFromAnyThread) {
  Engine engine = load();
  std::atomic<RequestId> newest = 0;
  std::atomic<bool> done = false;
  std::jthread canceller([&] {
    while (!done) {
      for (RequestId id = 0; id <= newest + 2; ++id) engine.cancel(id);
    }
  });
  for (int i = 0; i < 20; ++i) {
    newest = engine.submit(greedy("Once upon a time", 10));
    while (engine.busy()) engine.step();
    const Result result = engine.take_result(newest).value();
    EXPECT_TRUE(result.finish_reason == FinishReason::cancelled ||
                result.finish_reason == FinishReason::length);
  }
  done = true;
}

TEST(Engine, TimingCounts) {
  Engine engine = load();
  engine.generate(greedy("Once upon a time there was a", 10));
  const Timing timing = engine.timing();
  EXPECT_EQ(timing.prefill_tokens, 8u);
  EXPECT_EQ(timing.decode_tokens, 9u);
  EXPECT_GT(timing.time_to_first_token_ms, 0);
  EXPECT_GT(timing.prefill_tokens_per_s, 0);
  EXPECT_GT(timing.decode_tokens_per_s, 0);
  EXPECT_GT(timing.load_ms, 0);
  EXPECT_EQ(timing.loop, LoopRunner::host);
}

TEST(Engine, ADeviceLoopCannotBeRequiredOfTheCpu) {
  EngineOptions options;
  options.device_loop = DeviceLoopChoice::require;
  EXPECT_QUERN_ERROR(ErrorCode::unsupported, ({"device_loop require", "CPU"}), load(options));
  options.profile = true;
  EXPECT_QUERN_ERROR(ErrorCode::invalid_argument, ({"device_loop require", "profile"}),
                     load(options));
}

TEST(Engine, AProfileChangesNoTokenAndTellsOfEveryNode) {
  EngineOptions options;
  options.profile = true;
  options.check_interval = 3;
  Engine engine = load(options);
  const Request request = greedy("Once upon a time there was a", 10);
  EXPECT_EQ(engine.generate(request).output_ids, load().generate(request).output_ids);
  const Profile measured = profile(engine);
  EXPECT_GT(measured.read_gbps, 0.1);
  EXPECT_EQ(measured.prefill.num_steps, 1u);
  EXPECT_EQ(measured.decode.num_steps, 9u);
  std::map<std::string, NodeProfile> decode;
  for (const NodeProfile& node : measured.decode.nodes) decode[node.kind] = node;
  // tale-llama in float16: 4 layers, hidden 192, intermediate 512, heads 3 and 1 of 64.
  for (const char* kind : {"qkv", "attention", "attention_out", "gate_up", "down"}) {
    EXPECT_EQ(decode.at(kind).count_per_step, 4) << kind;
    EXPECT_GT(decode.at(kind).us_per_step, 0) << kind;
  }
  EXPECT_EQ(decode.at("lm_head").count_per_step, 1);
  // Weights in float16; inputs and outputs of the row in float32.
  EXPECT_EQ(decode.at("attention_out").bytes_per_step, 4 * (192 * 192 * 2 + 192 * 4 + 192 * 4));
  // 8 to 16 slots read and one written, keys and values of 64 float32; q, k, v and the output.
  EXPECT_EQ(decode.at("attention").bytes_per_step, 4 * ((12 + 1) * 2 * 64 * 4 + (320 + 192) * 4));
  EXPECT_QUERN_ERROR(ErrorCode::invalid_argument, ({"profile"}), profile(load()));
}

TEST(Engine, EosTokenIdsNameTheirSources) {
  const Engine engine = load({}, "tale-qwen");
  std::map<std::int32_t, std::string> ends;
  for (const auto& [id, source] : engine.info().eos_token_ids) ends[id] = source;
  EXPECT_EQ(ends.size(), 3u);
  EXPECT_NE(ends[1840].find("generation_config.json"), std::string::npos);
  EXPECT_NE(ends[1841].find("chatml"), std::string::npos);
  EXPECT_NE(ends[1842].find("chatml"), std::string::npos);
}

TEST(Engine, RefusesBadRequestsAndStaysUsable) {
  Engine engine = load();
  const auto refuse = [&](std::initializer_list<std::string_view> parts, Request request) {
    EXPECT_QUERN_ERROR(ErrorCode::invalid_argument, (parts), engine.submit(request));
  };
  Request ids = greedy("", 5);
  Request empty = ids;
  empty.add_bos = false;
  refuse({"empty"}, empty);
  ids.prompt_ids = {1, 2, 2048};
  refuse({"2048", "index 2", "2047"}, ids);
  ids.prompt_ids = {-1};
  refuse({"-1"}, ids);
  ids.prompt_ids.assign(2049, 5);
  refuse({"2049", "2048"}, ids);
  refuse({"UTF-8", "byte 2"}, greedy("ab\xff", 5));
  refuse({"max_new_tokens 0"}, greedy("a", 0));
  Request stop = greedy("a", 5);
  stop.stop = {""};
  refuse({"stop"}, stop);
  Request tops = greedy("a", 5);
  tops.top_logprobs = 21;
  refuse({"top_logprobs", "21"}, tops);

  const std::vector<Request> mixed = {greedy("Once", 5), greedy("a", -3)};
  EXPECT_QUERN_ERROR(ErrorCode::invalid_argument, ({"-3"}), engine.generate(mixed));
  EXPECT_FALSE(engine.busy());
  EXPECT_EQ(engine.generate(greedy("Once", 5)).output_ids.size(), 5u);
}

TEST(Engine, RefusesBadOptions) {
  const auto refuse = [](std::initializer_list<std::string_view> parts, auto set,
                         ErrorCode code = ErrorCode::invalid_argument) {
    EngineOptions options;
    set(options);
    EXPECT_QUERN_ERROR(code, (parts), load(options));
  };
  refuse({"max_seqs 0"}, [](auto& options) { options.max_seqs = 0; });
  refuse({"device 99"}, [](auto& options) { options.device = static_cast<DeviceChoice>(99); });
  refuse({"device_loop 99"},
         [](auto& options) { options.device_loop = static_cast<DeviceLoopChoice>(99); });
  refuse({"device_index -5"}, [](auto& options) { options.device_index = -5; });
  refuse({"max_seq_len", "4096", "2048"}, [](auto& options) { options.max_seq_len = 4096; });
  refuse({"max_seq_len -1"}, [](auto& options) { options.max_seq_len = -1; });
  refuse({"max_tokens_per_step 4"}, [](auto& options) { options.max_tokens_per_step = 4; });
  refuse({"check_interval 0"}, [](auto& options) { options.check_interval = 0; });
  refuse({"skip_steps -1"}, [](auto& options) { options.skip_steps = -1; });
  refuse({"threads -1"}, [](auto& options) { options.threads = -1; });
  refuse({"dtype int32"}, [](auto& options) { options.dtype = DType::int32; });
  refuse(
      {"KV cache", "1000 bytes", "lower max_seq_len"},
      [](auto& options) { options.kv_cache_memory_bytes = 1000; }, ErrorCode::out_of_memory);
  if (!query_cuda().unavailable_reason.empty()) {
    refuse(
        {"cuda"}, [](auto& options) { options.device = DeviceChoice::cuda; }, ErrorCode::device);
  }
}

TEST(Engine, LogitsNeedAnIdleEngine) {
  Engine engine = load();
  const Ids ids = {1, 5, 9};
  engine.submit(greedy("Once", 5));
  EXPECT_QUERN_ERROR(ErrorCode::invalid_argument, ({"logits"}), engine.logits(ids));
  while (engine.busy()) engine.step();
  EXPECT_EQ(engine.logits(ids).size(), 3u * 2048u);
  EXPECT_QUERN_ERROR(ErrorCode::invalid_argument, ({"empty"}), engine.logits({}));
}

TEST(Inspect, AnExplicitKvCacheMustFitWhatIsFree) {
  EngineOptions options;
  options.device = DeviceChoice::cpu;
  options.max_seqs = options.max_tokens_per_step = 8192;
  const ModelSource model = RandomModel{.shape = "gpt_350m"};
  const auto automatic = inspect(model, options);
  // 8192 sequences of 1024 tokens can use 1.5 TiB.
  options.kv_cache_memory_bytes = std::uint64_t{1} << 50;
  EXPECT_QUERN_ERROR(ErrorCode::out_of_memory,
                     ({"KV cache 1649267441664 bytes", "available", "lower kv_cache_memory"}),
                     inspect(model, options));
  // What was chosen before fits when it is asked for.
  options.kv_cache_memory_bytes = automatic.memory_plan.kv_cache_bytes;
  EXPECT_EQ(inspect(model, options).memory_plan.kv_cache_bytes,
            automatic.memory_plan.kv_cache_bytes);
}

TEST(Engine, MovesIntoAnotherAndFromIt) {
  Engine engine = load();
  const Request request = greedy("Once upon a time", 4);
  const auto expected = engine.generate(request).output_ids;
  Engine other = load({}, "tale-gpt2");
  other = std::move(engine);
  EXPECT_EQ(other.info().model_type, "llama");
  EXPECT_EQ(other.generate(request).output_ids, expected);
}

TEST(Inspect, PlansWithoutLoading) {
  EngineOptions options;
  options.device = DeviceChoice::cpu;
  options.max_seqs = 2;
  options.max_seq_len = 128;
  const auto summary = inspect(testing::demo_model("tale-gpt2").string(), options);
  EXPECT_EQ(summary.info.model_type, "gpt2");
  EXPECT_EQ(summary.memory_plan.num_kv_blocks, 2 * 128 / 32);
  EXPECT_EQ(summary.memory_plan.kv_cache_bytes, 2u * 128 * 4 * 2 * 192 * sizeof(float));
  Engine engine = load(options, "tale-gpt2");
  EXPECT_EQ(engine.memory_plan().total_bytes(), summary.memory_plan.total_bytes());
  EXPECT_EQ(graph_dump(engine), summary.graph);
  const ModelInfo alone = read_model_info(testing::demo_model("tale-gpt2").string());
  EXPECT_EQ(alone.model_type, "gpt2");
  EXPECT_EQ(alone.max_position_embeddings, summary.info.max_position_embeddings);
  EXPECT_EQ(alone.eos_token_ids, summary.info.eos_token_ids);
}

TEST(Inspect, TellsOfAModelThatIsNotThere) {
  EXPECT_QUERN_ERROR(ErrorCode::not_found, ({"/nowhere"}), read_model_info("/nowhere"));
  EXPECT_QUERN_ERROR(ErrorCode::invalid_argument, ({"no_such"}),
                     read_model_info(RandomModel{.shape = "no_such"}));
}

}  // namespace
}  // namespace quern
