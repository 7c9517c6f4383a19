#include <cstring>
#include <thread>

#include "tests/bindings/c_engine.h"

namespace quern::testing {
namespace {

/// Bytes of a struct with as much behind it, for callers of other versions.
template <class T>
struct Longer {
  T known;
  unsigned char unknown[64];
};

TEST(CErrorsTest, StatusAndMessageNameWhatIsWrong) {
  quern_engine* engine = reinterpret_cast<quern_engine*>(1);
  EXPECT_EQ(quern_engine_load("/nowhere", nullptr, &engine), QUERN_NOT_FOUND);
  EXPECT_EQ(engine, nullptr);
  EXPECT_NE(std::strstr(quern_last_error(), "/nowhere"), nullptr) << quern_last_error();

  const quern_request* null_request = nullptr;
  quern_result* result = nullptr;
  const auto loaded = load("tale-llama");
  EXPECT_STREQ(quern_engine_error(loaded.get()), "");
  EXPECT_EQ(quern_engine_generate(loaded.get(), &null_request, 1, nullptr, nullptr, &result),
            QUERN_INVALID_ARGUMENT);
  EXPECT_STREQ(quern_engine_error(loaded.get()), "'requests[i]': expected a pointer, got NULL");
  EXPECT_EQ(quern_engine_submit(nullptr, nullptr, nullptr), QUERN_INVALID_ARGUMENT);
  EXPECT_STREQ(quern_last_error(), "'engine': expected a pointer, got NULL");

  GreedyRequest greedy("Once");
  greedy.sampling.top_p = {1, 1.5f};
  EXPECT_EQ(quern_engine_submit(loaded.get(), &greedy.request, nullptr), QUERN_INVALID_ARGUMENT);
  EXPECT_NE(std::strstr(quern_engine_error(loaded.get()), "1.5"), nullptr)
      << quern_engine_error(loaded.get());
  EXPECT_STREQ(quern_engine_error(loaded.get()), quern_last_error());

  greedy.sampling.top_p = {};
  greedy.sampling.mirostat_eta = {1, -1.0f};
  EXPECT_EQ(quern_engine_submit(loaded.get(), &greedy.request, nullptr), QUERN_INVALID_ARGUMENT);
  EXPECT_NE(std::strstr(quern_last_error(), "mirostat_eta"), nullptr) << quern_last_error();
  greedy.sampling.mirostat_eta = {};
  greedy.request.early_stopping = 9;
  EXPECT_EQ(quern_engine_submit(loaded.get(), &greedy.request, nullptr), QUERN_INVALID_ARGUMENT);
  EXPECT_STREQ(quern_last_error(), "'early_stopping': expected a number from 0 to 2, got 9");
  greedy.request.early_stopping = 0;
  greedy.request.num_stop = 1;
  EXPECT_EQ(quern_engine_submit(loaded.get(), &greedy.request, nullptr), QUERN_INVALID_ARGUMENT);
  EXPECT_STREQ(quern_last_error(), "'stop': expected a pointer, got NULL");
}

TEST(CErrorsTest, MessagesBelongToHandleAndThread) {
  const auto first = load("tale-gpt2"), second = load("tale-llama");
  const GreedyRequest empty("");
  EXPECT_EQ(quern_engine_submit(first.get(), &empty.request, nullptr), QUERN_INVALID_ARGUMENT);
  EXPECT_STRNE(quern_engine_error(first.get()), "");
  EXPECT_STREQ(quern_engine_error(second.get()), "");
  const std::string here = quern_last_error();
  std::string there = "not empty";
  std::thread([&] {
    there = quern_last_error();
    quern_tokenizer* tokenizer = nullptr;
    quern_tokenizer_load("/nowhere", &tokenizer);
  }).join();
  EXPECT_EQ(there, "");
  EXPECT_EQ(quern_last_error(), here);
}

TEST(CErrorsTest, AnEngineIsUsableAfterAnError) {
  const auto engine = load("tale-gpt2");
  const GreedyRequest good("Once", 2), empty("");
  const quern_request* both[] = {&good.request, &empty.request};
  quern_result* results[2] = {};
  EXPECT_EQ(quern_engine_generate(engine.get(), both, 2, nullptr, nullptr, results),
            QUERN_INVALID_ARGUMENT);
  EXPECT_EQ(results[0], nullptr);
  EXPECT_EQ(quern_engine_busy(engine.get()), 0);
  ASSERT_EQ(quern_engine_generate(engine.get(), both, 1, nullptr, nullptr, results), QUERN_OK);
  EXPECT_EQ(results[0]->sequences[0]->output_ids.count, 2u);
  quern_result_free(results[0]);
}

TEST(CErrorsTest, CallbacksEndLoadsAndLogits) {
  quern_engine_options options = cpu_options();
  options.on_load = [](void*, std::uint64_t done, std::uint64_t total) {
    return done > total / 2 ? 1 : 0;
  };
  quern_engine* stopped = nullptr;
  EXPECT_EQ(quern_engine_load(demo_model("tale-llama").c_str(), &options, &stopped), QUERN_STOPPED);
  EXPECT_EQ(stopped, nullptr);

  const auto engine = load("tale-llama");
  const std::int32_t ids[] = {1, 2, 3};
  const auto stop = [](void*, const float*, std::size_t) { return 1; };
  EXPECT_EQ(quern_engine_logits_rows(engine.get(), ids, 3, 0, stop, nullptr), QUERN_STOPPED);
  float few[8];
  EXPECT_EQ(quern_engine_logits(engine.get(), ids, 3, 0, few, 8), QUERN_INVALID_ARGUMENT);
  EXPECT_NE(std::strstr(quern_engine_error(engine.get()), "num_floats"), nullptr);
}

// A caller that was built against an older header: its structs are shorter, and what lies behind
// them is not read.
TEST(CErrorsTest, ShorterStructsAreAccepted) {
  const auto engine = load("tale-llama");
  GreedyRequest greedy("Once upon a time", 3);
  quern_result* result = nullptr;
  const quern_request* requests[] = {&greedy.request};
  ASSERT_EQ(quern_engine_generate(engine.get(), requests, 1, nullptr, nullptr, &result), QUERN_OK);
  const Handle<quern_result> whole(result);

  greedy.request.struct_size = offsetof(quern_request, stop);
  greedy.request.num_stop = 1;               // beyond: with stop NULL this would be an error
  greedy.request.prompt_logprobs = {1, 99};  // beyond: out of range
  greedy.sampling.struct_size = offsetof(quern_sampling_params, top_n_sigma);
  greedy.sampling.num_logit_bias = 1;  // beyond
  ASSERT_EQ(quern_engine_generate(engine.get(), requests, 1, nullptr, nullptr, &result), QUERN_OK)
      << quern_last_error();
  const Handle<quern_result> shorter(result);
  EXPECT_EQ(vector_of(shorter->sequences[0]->output_ids),
            vector_of(whole->sequences[0]->output_ids));

  quern_engine_options options = cpu_options();
  options.struct_size = offsetof(quern_engine_options, kv_reservation);
  options.device_loop = 99;
  load("tale-llama", options);

  quern_timing timing;
  std::memset(&timing, 0x5a, sizeof(timing));
  timing.struct_size = offsetof(quern_timing, prefill_tokens_per_s);
  ASSERT_EQ(quern_engine_timing(engine.get(), &timing), QUERN_OK);
  EXPECT_GT(timing.load_ms, 0.0);
  EXPECT_EQ(timing.struct_size, offsetof(quern_timing, prefill_tokens_per_s));
  const auto* bytes = reinterpret_cast<const unsigned char*>(&timing);
  for (std::size_t i = timing.struct_size; i < sizeof(timing); ++i) ASSERT_EQ(bytes[i], 0x5a) << i;
}

// A caller that was built against a newer header.
TEST(CErrorsTest, LongerStructsAreAcceptedWhileTheyAskForNothingUnknown) {
  const auto engine = load("tale-llama");
  const GreedyRequest greedy("Once upon a time", 3);
  Longer<quern_request> longer{greedy.request, {}};
  longer.known.struct_size = sizeof(longer);
  EXPECT_EQ(quern_engine_submit(engine.get(), &longer.known, nullptr), QUERN_OK);
  longer.unknown[17] = 1;
  EXPECT_EQ(quern_engine_submit(engine.get(), &longer.known, nullptr), QUERN_UNSUPPORTED);
  EXPECT_NE(std::strstr(quern_engine_error(engine.get()), "quern_request: struct_size"), nullptr)
      << quern_engine_error(engine.get());
  for (const std::size_t size : {std::size_t{0}, std::size_t{4}, std::size_t{13}}) {
    longer.known.struct_size = size;
    EXPECT_EQ(quern_engine_submit(engine.get(), &longer.known, nullptr), QUERN_INVALID_ARGUMENT);
  }
  Longer<quern_timing> timing;
  std::memset(&timing, 0x5a, sizeof(timing));
  timing.known.struct_size = sizeof(timing);
  ASSERT_EQ(quern_engine_timing(engine.get(), &timing.known), QUERN_OK);
  for (const unsigned char byte : timing.unknown) EXPECT_EQ(byte, 0);
}

TEST(CErrorsTest, LogSinkReceivesMessages) {
  std::vector<std::string> lines;
  ASSERT_EQ(quern_set_log_sink(
                [](void* user_data, quern_log_level level, const char* message) {
                  EXPECT_GE(level, QUERN_LOG_DEBUG);
                  EXPECT_LE(level, QUERN_LOG_WARNING);
                  static_cast<std::vector<std::string>*>(user_data)->emplace_back(message);
                },
                &lines),
            QUERN_OK);
  load("tale-llama");
  const std::size_t num_lines = lines.size();
  EXPECT_GT(num_lines, 0u);
  ASSERT_EQ(quern_set_log_sink(nullptr, nullptr), QUERN_OK);
  load("tale-llama");
  EXPECT_EQ(lines.size(), num_lines);
}

TEST(CErrorsTest, NullHandlesAreNoCrash) {
  quern_engine_free(nullptr);
  quern_result_free(nullptr);
  quern_tokenizer_free(nullptr);
  quern_chat_template_free(nullptr);
  quern_rendered_chat_free(nullptr);
  quern_answer_parser_free(nullptr);
  quern_model_info_free(nullptr);
  quern_free(nullptr);
  quern_engine_cancel(nullptr, 1);
  EXPECT_EQ(quern_engine_busy(nullptr), 0);
  EXPECT_EQ(quern_engine_info(nullptr), nullptr);
  EXPECT_EQ(quern_engine_tokenizer(nullptr), nullptr);
  EXPECT_STREQ(quern_engine_error(nullptr), "");
  EXPECT_EQ(quern_engine_load(nullptr, nullptr, nullptr), QUERN_INVALID_ARGUMENT);
  EXPECT_EQ(quern_chat_template_render(nullptr, nullptr, nullptr), QUERN_INVALID_ARGUMENT);
}

TEST(CErrorsTest, NamesAndVersions) {
  EXPECT_EQ(quern_abi_version(), QUERN_ABI_VERSION);
  EXPECT_GT(std::strlen(quern_version()), 4u);
  EXPECT_STRNE(quern_commit(), "");
  EXPECT_STREQ(quern_status_name(QUERN_OK), "ok");
  EXPECT_STREQ(quern_status_name(QUERN_STOPPED), "stopped");
  EXPECT_STREQ(quern_status_name(-1), "unknown");
  EXPECT_STREQ(quern_status_name(QUERN_STOPPED + 1), "unknown");
  EXPECT_STREQ(quern_finish_reason_name(QUERN_FINISH_STOP_STRING), "stop_string");
  EXPECT_STREQ(quern_finish_reason_name(QUERN_NOT_FINISHED), "not_finished");
  EXPECT_STREQ(quern_finish_reason_name(99), "unknown");
}

}  // namespace
}  // namespace quern::testing
