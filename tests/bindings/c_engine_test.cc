#include "tests/bindings/c_engine.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <thread>

namespace quern::testing {
namespace {

std::vector<std::int32_t> golden_ids(const nlohmann::json& golden, std::size_t count) {
  auto ids = golden.at("greedy_ids").get<std::vector<std::int32_t>>();
  ids.resize(std::min(ids.size(), count));
  return ids;
}

Handle<quern_result> generate(quern_engine* engine, const quern_request& request,
                              quern_update_callback on_update = nullptr,
                              void* user_data = nullptr) {
  const quern_request* requests[] = {&request};
  quern_result* result = nullptr;
  EXPECT_EQ(quern_engine_generate(engine, requests, 1, on_update, user_data, &result), QUERN_OK)
      << quern_engine_error(engine);
  return Handle<quern_result>(result);
}

TEST(CEngineTest, GeneratesWhatHuggingFaceGenerates) {
  const auto engine = load("tale-llama");
  const nlohmann::json golden = golden_case();
  const std::string prompt = golden.at("prompt");
  const GreedyRequest greedy(prompt, 24);
  std::string streamed;
  const auto result = generate(
      engine.get(), greedy.request,
      [](void* user_data, const quern_update* update) {
        *static_cast<std::string*>(user_data) += string_of(update->text);
        return 0;
      },
      &streamed);
  ASSERT_EQ(result->num_sequences, 1u);
  const quern_sequence_result& answer = *result->sequences[0];
  EXPECT_EQ(vector_of(answer.output_ids), golden_ids(golden, 24));
  EXPECT_EQ(vector_of(result->prompt_ids), golden.at("prompt_ids"));
  EXPECT_EQ(answer.finish_reason, QUERN_FINISH_LENGTH);
  EXPECT_STREQ(answer.text.data, streamed.c_str());  // a NUL stands behind it
  EXPECT_EQ(golden.at("greedy_text").get<std::string>().find(prompt + streamed), 0u);
  EXPECT_EQ(result->usage.prompt_tokens, golden.at("prompt_ids").size());
  EXPECT_EQ(result->usage.completion_tokens, 24u);
  EXPECT_EQ(answer.logprobs.count, 0u);
  EXPECT_EQ(answer.score.is_set, 0);
}

TEST(CEngineTest, StepsABatchAndHandsOutUpdates) {
  const auto engine = load("tale-llama");
  std::map<std::uint64_t, std::vector<std::int32_t>> ids, expected;
  std::map<std::uint64_t, int> ends;
  for (int i = 0; i < 2; ++i) {
    const nlohmann::json golden = golden_case(i);
    const std::string prompt = golden.at("prompt");
    const GreedyRequest greedy(prompt, 8 + i);
    std::uint64_t id = 0;
    ASSERT_EQ(quern_engine_submit(engine.get(), &greedy.request, &id), QUERN_OK);
    expected[id] = golden_ids(golden, 8 + static_cast<std::size_t>(i));
  }
  while (quern_engine_busy(engine.get()) != 0) {
    quern_updates updates;
    ASSERT_EQ(quern_engine_step(engine.get(), &updates), QUERN_OK);
    for (std::size_t i = 0; i < updates.count; ++i) {
      const quern_update& update = *quern_updates_at(&updates, i);
      const auto added = vector_of(update.token_ids);
      ids[update.id].insert(ids[update.id].end(), added.begin(), added.end());
      EXPECT_EQ(update.last != 0, update.finish_reason == QUERN_FINISH_LENGTH);
      ends[update.id] += update.last;
    }
  }
  EXPECT_EQ(ids, expected);
  for (const auto& [id, generated] : expected) {
    EXPECT_EQ(ends[id], 1);
    quern_result* result = nullptr;
    ASSERT_EQ(quern_engine_take_result(engine.get(), id, &result), QUERN_OK);
    ASSERT_NE(result, nullptr);
    EXPECT_EQ(vector_of(result->sequences[0]->output_ids), generated);
    quern_result_free(result);
    ASSERT_EQ(quern_engine_take_result(engine.get(), id, &result), QUERN_OK);
    EXPECT_EQ(result, nullptr);  // taken already
  }
}

TEST(CEngineTest, LogprobsAreTheLogitsSoftmax) {
  const auto engine = load("tale-llama");
  GreedyRequest greedy("The king had three sons.", 3);
  greedy.request.top_logprobs = {1, 2};
  greedy.request.prompt_logprobs = {1, 0};
  const auto result = generate(engine.get(), greedy.request);
  const quern_sequence_result& answer = *result->sequences[0];
  ASSERT_EQ(answer.logprobs.count, 3u);
  ASSERT_EQ(result->prompt_logprobs.count, result->prompt_ids.count - 1);

  std::vector<std::int32_t> ids = vector_of(result->prompt_ids);
  const std::size_t num_prompt_ids = ids.size();
  ids.insert(ids.end(), answer.output_ids.ids, answer.output_ids.ids + 3);
  const auto vocab_size = static_cast<std::size_t>(quern_engine_info(engine.get())->vocab_size);
  std::vector<float> logits(ids.size() * vocab_size);
  ASSERT_EQ(
      quern_engine_logits(engine.get(), ids.data(), ids.size(), 0, logits.data(), logits.size()),
      QUERN_OK);
  const auto logprob = [&](std::size_t position) {  // of the token behind `position`
    const float* row = logits.data() + position * vocab_size;
    double sum = 0.0;
    for (std::size_t i = 0; i < vocab_size; ++i) sum += std::exp(double{row[i]});
    return row[ids[position + 1]] - std::log(sum);
  };
  for (std::size_t i = 0; i < 3; ++i) {
    const quern_token_logprobs& token = answer.logprobs.tokens[i];
    EXPECT_NEAR(token.logprob, logprob(num_prompt_ids - 1 + i), 1e-4);
    EXPECT_EQ(token.id, answer.output_ids.ids[i]);
    ASSERT_EQ(token.num_top, 2u);
    EXPECT_EQ(token.top[0].id, token.id);  // greedy
    EXPECT_GE(token.top[0].logprob, token.top[1].logprob);
  }
  for (std::size_t i = 0; i + 1 < num_prompt_ids; ++i) {
    EXPECT_NEAR(result->prompt_logprobs.tokens[i].logprob, logprob(i), 1e-4);
  }

  // The same rows, a few at a time and from a position on.
  struct Rows {
    std::vector<float> values;
    std::size_t vocab_size;
  } rows{{}, vocab_size};
  const auto add = [](void* user_data, const float* values, std::size_t num_rows) {
    auto& all = *static_cast<Rows*>(user_data);
    all.values.insert(all.values.end(), values, values + num_rows * all.vocab_size);
    return 0;
  };
  ASSERT_EQ(quern_engine_logits_rows(engine.get(), ids.data(), ids.size(), 2, add, &rows),
            QUERN_OK);
  EXPECT_TRUE(std::equal(rows.values.begin(), rows.values.end(), logits.begin() + 2 * vocab_size,
                         logits.end()));
}

TEST(CEngineTest, SeveralAnswersAndBeams) {
  const auto engine = load("tale-llama");
  GreedyRequest beams("The king had three sons.", 6);
  beams.request.sampling = nullptr;
  beams.request.num_beams = 3;
  beams.request.num_return_sequences = 2;
  const auto result = generate(engine.get(), beams.request);
  ASSERT_EQ(result->num_sequences, 2u);
  EXPECT_EQ(result->usage.completion_tokens,
            result->sequences[0]->output_ids.count + result->sequences[1]->output_ids.count);
  ASSERT_EQ(result->sequences[0]->score.is_set, 1);
  EXPECT_GE(result->sequences[0]->score.value, result->sequences[1]->score.value);
  EXPECT_NE(vector_of(result->sequences[0]->output_ids),
            vector_of(result->sequences[1]->output_ids));
}

TEST(CEngineTest, SamplingIsWhatItsFieldsSay) {
  const auto engine = load("tale-llama");
  GreedyRequest request("Once upon a time", 12);
  request.sampling.greedy = 0;
  request.sampling.temperature = {1, 0.9f};
  request.sampling.seed = {1, 0, 7};
  const auto first = generate(engine.get(), request.request);
  const auto again = generate(engine.get(), request.request);
  EXPECT_EQ(first->seed, 7u);
  EXPECT_EQ(string_of(first->sequences[0]->text), string_of(again->sequences[0]->text));

  // A bias decides; a stop string and a stop token end the text.
  const std::int32_t id = first->sequences[0]->output_ids.ids[0];
  const quern_logit_bias bias[] = {{id, 100.0f}};
  request.sampling.logit_bias = bias;
  request.sampling.num_logit_bias = 1;
  request.request.stop_token_ids = {&id, 1};
  const auto biased = generate(engine.get(), request.request);
  EXPECT_EQ(vector_of(biased->sequences[0]->output_ids), std::vector<std::int32_t>{id});
  EXPECT_EQ(biased->sequences[0]->finish_reason, QUERN_FINISH_STOP);

  GreedyRequest stopped("Once upon a time", 40);
  const quern_string stops[] = {c_string("never in it"), c_string(",")};
  stopped.request.stop = stops;
  stopped.request.num_stop = 2;
  const auto until = generate(engine.get(), stopped.request);
  EXPECT_EQ(until->sequences[0]->finish_reason, QUERN_FINISH_STOP_STRING);
  EXPECT_EQ(string_of(until->sequences[0]->text).find(','), std::string::npos);
}

TEST(CEngineTest, CallbackAndCancelEndARequest) {
  const auto engine = load("tale-llama");
  const GreedyRequest greedy("Once upon a time", 100);
  int calls = 0;
  const auto result = generate(
      engine.get(), greedy.request,
      [](void* user_data, const quern_update*) {
        return ++*static_cast<int*>(user_data) == 3 ? 1 : 0;
      },
      &calls);
  EXPECT_EQ(result->sequences[0]->finish_reason, QUERN_FINISH_CANCELLED);
  EXPECT_EQ(result->sequences[0]->output_ids.count, 3u);

  std::uint64_t id = 0;
  ASSERT_EQ(quern_engine_submit(engine.get(), &greedy.request, &id), QUERN_OK);
  std::thread([&] { quern_engine_cancel(engine.get(), id); }).join();
  while (quern_engine_busy(engine.get()) != 0) quern_engine_step(engine.get(), nullptr);
  quern_result* taken = nullptr;
  ASSERT_EQ(quern_engine_take_result(engine.get(), id, &taken), QUERN_OK);
  const Handle<quern_result> cancelled(taken);
  ASSERT_NE(cancelled, nullptr);
  EXPECT_EQ(cancelled->sequences[0]->finish_reason, QUERN_FINISH_CANCELLED);
}

TEST(CEngineTest, EnginesRunBesideEachOther) {
  const std::vector<const char*> models = {"tale-llama", "tale-gpt2", "tale-qwen2"};
  std::vector<std::string> alone, beside(models.size());
  for (const char* model : models) {
    const GreedyRequest greedy("The king had three sons.");
    alone.push_back(string_of(generate(load(model).get(), greedy.request)->sequences[0]->text));
  }
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < models.size(); ++i) {
    threads.emplace_back([&, i] {
      const auto engine = load(models[i]);
      const GreedyRequest greedy("The king had three sons.");
      beside[i] = string_of(generate(engine.get(), greedy.request)->sequences[0]->text);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(beside, alone);
}

TEST(CEngineTest, FactsAreTheModels) {
  const auto engine = load("tale-llama");
  const quern_model_info& info = *quern_engine_info(engine.get());
  EXPECT_EQ(string_of(info.model_type), "llama");
  EXPECT_EQ(string_of(info.folder), demo_model("tale-llama"));
  EXPECT_EQ(info.checkpoint_dtype, QUERN_FLOAT16);
  EXPECT_GT(info.eos_token_ids.count, 0u);
  quern_model_info* read = nullptr;
  ASSERT_EQ(quern_model_info_read(demo_model("tale-llama").c_str(), &read), QUERN_OK);
  const Handle<quern_model_info> owned(read);
  EXPECT_EQ(read->num_parameters, info.num_parameters);
  EXPECT_EQ(read->vocab_size, info.vocab_size);

  quern_engine_options options{};
  options.struct_size = sizeof(options);
  ASSERT_EQ(quern_engine_get_options(engine.get(), &options), QUERN_OK);
  EXPECT_EQ(options.device, QUERN_DEVICE_CPU);
  EXPECT_EQ(options.dtype, QUERN_FLOAT32);
  EXPECT_EQ(options.max_seq_len, 256);
  EXPECT_EQ(options.threads, 1);
  EXPECT_EQ(options.prefix_cache, QUERN_ON);
  EXPECT_EQ(options.deterministic, QUERN_OFF);

  quern_memory_plan plan{};
  plan.struct_size = sizeof(plan);
  ASSERT_EQ(quern_engine_memory_plan(engine.get(), &plan), QUERN_OK);
  EXPECT_GT(plan.weight_bytes, 0u);
  EXPECT_EQ(plan.total_bytes, plan.weight_bytes + plan.kv_cache_bytes + plan.activation_bytes +
                                  plan.workspace_bytes + plan.step_input_bytes +
                                  plan.recording_bytes);

  generate(engine.get(), GreedyRequest("Once upon a time", 5).request);
  quern_timing timing{};
  timing.struct_size = sizeof(timing);
  ASSERT_EQ(quern_engine_timing(engine.get(), &timing), QUERN_OK);
  EXPECT_EQ(timing.decode_tokens, 4u);
  EXPECT_GT(timing.total_ms, 0.0);
}

TEST(CEngineTest, RandomWeightsHaveNoTokenizer) {
  quern_random_model model{};
  model.struct_size = sizeof(model);
  model.shape = "gpt_350m";
  model.num_layers = 1;
  quern_engine* loaded = nullptr;
  const quern_engine_options options = cpu_options();
  ASSERT_EQ(quern_engine_load_random(&model, &options, &loaded), QUERN_OK) << quern_last_error();
  const Handle<quern_engine> engine(loaded);
  EXPECT_EQ(quern_engine_info(loaded)->random_weights, 1);
  EXPECT_EQ(quern_engine_info(loaded)->num_hidden_layers, 1);
  const std::int32_t ids[] = {1, 2, 3};
  GreedyRequest greedy("", 2);
  greedy.request.prompt_ids = {ids, 3};
  EXPECT_EQ(generate(loaded, greedy.request)->sequences[0]->output_ids.count, 2u);
  std::int32_t* encoded = nullptr;
  std::size_t num_encoded = 0;
  EXPECT_NE(quern_tokenizer_encode(quern_engine_tokenizer(loaded), c_string("a"), nullptr, &encoded,
                                   &num_encoded),
            QUERN_OK);
}

}  // namespace
}  // namespace quern::testing
