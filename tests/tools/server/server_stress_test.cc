// 64 streams at a time through HTTP, with clients that leave, preemptions and shared prefixes, get
// the texts of `quern run`: exactly on the CPU, up to near ties on a GPU.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <random>
#include <thread>

#include "quern/devices.h"
#include "tests/support/sanitizers.h"
#include "tests/support/test_files.h"
#include "tests/tools/quern/child_process.h"
#include "tests/tools/server/server_fixture.h"

namespace quern::testing {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kModel = "tale-qwen2";
constexpr int kThreads = 8;
constexpr int kStreamsOfAThread = 8;  ///< at a time
constexpr int kRounds = kHasSanitizers ? 1 : 3;
constexpr int kNumRequests = kHasSanitizers ? 24 : 48;

/// A device, its dtype, and by how much log-probabilities may differ between two batches of other
/// sizes: the text may go on with another token where that is more than what the best is ahead by.
struct Subject {
  const char* name;
  DeviceChoice device;
  DType dtype;
  double near_tie;
};
constexpr Subject kSubjects[] = {{"Cpu", DeviceChoice::cpu, DType::float32, 0.0},
                                 {"GpuFloat32", DeviceChoice::cuda, DType::float32, 1e-3},
                                 {"GpuBFloat16", DeviceChoice::cuda, DType::bfloat16, 0.1}};

/// A prompt record of `quern run`; keys of the API are made of it.
Json make_record(std::mt19937& random, int index) {
  const auto below = [&](int bound) { return static_cast<int>(random() % unsigned(bound)); };
  Json record;
  if (index % 5 == 4) {
    const std::string story = index % 2 == 0 ? "Tell me of a fox and a king. " : "A witch came. ";
    std::string text;
    for (int i = below(4); i >= 0; --i) text += story;
    record["messages"] = {{{"role", "user"}, {"content", text + std::to_string(index)}}};
  } else if (index % 5 == 3) {
    record["prompt"] = "The king had " + std::to_string(index) + " sons.";
  } else {
    Json ids = Json::array();
    if (index % 3 == 0) ids = Json(std::vector<int>(64, 500 + index % 2));  // prefixes in common
    for (int n = below(index % 6 == 0 ? 120 : 30); n >= 0; --n) ids.push_back(10 + below(900));
    record["prompt_ids"] = std::move(ids);
  }
  record["max_new_tokens"] = 20 + below(120);
  if (index % 7 == 6) record["stop"] = {" the", "\n"};
  return record;
}

/// Greedy texts, ids and log-probabilities by the program.
std::vector<Json> results_of_run(const std::vector<Json>& records, const Subject& subject) {
  const TempFolder folder;
  const std::string file = (folder.path() / "prompts.jsonl").string();
  std::string lines;
  for (const Json& record : records) lines += record.dump() + "\n";
  write_file(file, lines);
  const ChildResult run = run_quern(
      {"run", "-m", TestServer::folder(kModel), "--prompts-file", file, "--greedy", "--ignore-eos",
       "--no-prefix-cache", "--logprobs", "2", "--json", "--device",
       subject.device == DeviceChoice::cpu ? "cpu" : "cuda", "--dtype", dtype_name(subject.dtype)});
  EXPECT_EQ(run.exit_code, 0) << run.err;
  const Json json = Json::parse(run.out);
  return {json["results"].begin(), json["results"].end()};
}

bool is_chat(const Json& record) { return record.contains("messages"); }

std::string api_request(const Json& record, bool stream) {
  Json body = {{"max_tokens", record["max_new_tokens"]},
               {"temperature", 0},
               {"ignore_eos", true},
               {"stream", stream},
               {"return_token_ids", true}};
  if (record.contains("stop")) body["stop"] = record["stop"];
  if (is_chat(record)) {
    body["messages"] = record["messages"];
  } else {
    body["prompt"] = record.contains("prompt") ? record["prompt"] : record["prompt_ids"];
  }
  return request_text("POST", is_chat(record) ? "/v1/chat/completions" : "/v1/completions",
                      body.dump(), "Content-Type: application/json\r\n");
}

struct Output {
  std::string text;
  std::vector<int> ids;
};

void add_choice(const Json& choice, Output& output) {
  const char* holder = choice.contains("message") ? "message" : "delta";
  const Json& text = choice.contains("text") ? choice : choice.value(holder, Json::object());
  const Json words = text.value(choice.contains("text") ? "text" : "content", Json());
  if (words.is_string()) output.text += words;  // a chat's first delta has null
  for (const Json& id : choice.value("token_ids", Json::array())) output.ids.push_back(id);
}

Output output_of(const RawAnswer& answer, bool stream) {
  Output output;
  if (!stream) {
    add_choice(answer.json()["choices"][0], output);
    return output;
  }
  for (const std::string& event : answer.events()) {
    if (event != "[DONE]") add_choice(Json::parse(event)["choices"][0], output);
  }
  return output;
}

struct Counts {
  std::atomic<int> wrong = 0, whole = 0, left = 0, ties = 0;
};

/// Whether the ids part from those of `quern run` at a token that was nearly as probable.
bool parts_at_near_tie(const Output& output, const Json& right, double near_tie) {
  const std::vector<int> ids = right["output_ids"];
  const auto parting = std::mismatch(ids.begin(), ids.end(), output.ids.begin(), output.ids.end());
  if (parting.first == ids.end() || parting.second == output.ids.end()) return false;
  const Json& top = right["logprobs"][static_cast<std::size_t>(parting.first - ids.begin())]["top"];
  const double ahead = top[0]["logprob"].get<double>() - top[1]["logprob"].get<double>();
  return top[1]["id"] == *parting.second && ahead < near_tie;
}

/// Sends requests, and reads their answers or leaves.
void run_client(const TestServer& server, const std::vector<Json>& records,
                const std::vector<Json>& expected, double near_tie, Counts& counts, unsigned seed) {
  std::mt19937 random(seed);
  for (int round = 0; round < kRounds; ++round) {
    std::vector<std::unique_ptr<RawClient>> clients;
    std::vector<std::size_t> indices;
    for (int i = 0; i < kStreamsOfAThread; ++i) {
      indices.push_back(random() % records.size());
      clients.push_back(std::make_unique<RawClient>(server.port()));
      clients.back()->send(api_request(records[indices.back()], i % 4 != 0));
    }
    for (int i = 0; i < kStreamsOfAThread; ++i) {
      const std::size_t index = indices[static_cast<std::size_t>(i)];
      RawClient& client = *clients[static_cast<std::size_t>(i)];
      const bool stream = i % 4 != 0;
      if (random() % 6 == 0) {
        if (stream && random() % 2 == 0) client.wait_for("data: ");
        client.close();
        ++counts.left;
        continue;
      }
      const RawAnswer answer = client.read();
      ++counts.whole;
      if (answer.status != 200 || !answer.complete) {
        ++counts.wrong;
        ADD_FAILURE() << answer.status << " " << answer.body;
        continue;
      }
      const Output output = output_of(answer, stream);
      const Json& right = expected[index];
      if (output.text == right["text"] && Json(output.ids) == right["output_ids"]) continue;
      if (parts_at_near_tie(output, right, near_tie)) {
        ++counts.ties;
        continue;
      }
      ++counts.wrong;
      ADD_FAILURE() << records[index] << "\n" << output.text << "\n" << right["text"];
    }
  }
}

class ServerStressTest : public ::testing::TestWithParam<Subject> {};

TEST_P(ServerStressTest, SixtyFourMixedStreamsGiveTheTextsOfRun) {
  const CudaEnvironment cuda = query_cuda();
  if (GetParam().device == DeviceChoice::cuda &&
      !(cuda.built_with_cuda && cuda.unavailable_reason.empty())) {
    GTEST_SKIP() << "needs a GPU: "
                 << (cuda.built_with_cuda ? cuda.unavailable_reason : "a build without CUDA");
  }
  std::mt19937 random(3);
  std::vector<Json> records;
  for (int i = 0; i < kNumRequests; ++i) records.push_back(make_record(random, i));
  const std::vector<Json> expected = results_of_run(records, GetParam());
  ASSERT_EQ(expected.size(), records.size());

  EngineOptions options;
  options.device = GetParam().device;
  options.dtype = GetParam().dtype;
  options.max_seqs = 16;
  options.max_seq_len = 512;
  options.max_tokens_per_step = 128;
  options.max_mixed_tokens = 64;
  // KV blocks for a fraction of what 16 sequences want.
  const MemoryPlan plan = inspect(TestServer::folder(kModel), options).memory_plan;
  constexpr std::uint64_t kFewBlocks = 24;
  options.kv_cache_memory_bytes =
      kFewBlocks * (plan.kv_cache_bytes / static_cast<std::uint64_t>(plan.num_kv_blocks));
  TestServer server(kModel, {}, {}, options);
  server.wait_until_ready();

  Counts counts;
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < kThreads; ++i) {
    threads.emplace_back(
        [&, i] { run_client(server, records, expected, GetParam().near_tie, counts, i); });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(counts.wrong, 0);
  EXPECT_LT(10 * counts.ties, counts.whole.load());  // few
  RecordProperty("near_ties", counts.ties);
  EXPECT_GT(counts.whole, 40 * kRounds);
  EXPECT_GT(counts.left, 3);

  EXPECT_TRUE(server.becomes_idle());
  const ServiceMetrics metrics = server.service().metrics();
  EXPECT_EQ(metrics.kv_cache_usage, 0);
  EXPECT_GT(metrics.num_preemptions, 0u);
  EXPECT_GT(metrics.prefix_cache_hits, 0u);
  EXPECT_GT(metrics.finished[static_cast<std::size_t>(FinishReason::cancelled)], 0u);
}

INSTANTIATE_TEST_SUITE_P(Devices, ServerStressTest, ::testing::ValuesIn(kSubjects),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace quern::testing
