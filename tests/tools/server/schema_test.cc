#include <gtest/gtest.h>

#include <string>

#include "tools/server/openai/answer_format.h"
#include "tools/server/openai/api_error.h"
#include "tools/server/openai/chat_fields.h"
#include "tools/server/openai/completion_fields.h"
#include "tools/server/openai/logprobs.h"

namespace quern::tools {
namespace {

const ModelLimits kLimits{.vocab_size = 1000, .max_seq_len = 64, .samples = false};

/// The error of `parse`, as "param: message"; empty where there is none.
template <typename Parse>
std::string refusal(const Parse& parse) {
  try {
    parse();
    return "";
  } catch (const ApiError& error) {
    EXPECT_EQ(error.status(), 400);
    const OrderedJson inner = error.json()["error"];
    return (inner["param"].is_null() ? "" : inner["param"].get<std::string>()) + "|" + error.what();
  }
}

std::string completion_refusal(const std::string& more) {
  return refusal([&] { parse_completion_fields(R"({"prompt": "a")" + more + "}", kLimits); });
}

std::string chat_refusal(const std::string& more) {
  return refusal([&] {
    parse_chat_fields(R"({"messages": [{"role": "user", "content": "a"}])" + more + "}", kLimits);
  });
}

TEST(CompletionFieldsTest, HonoursWhatIsGiven) {
  const CompletionFields fields = parse_completion_fields(
      R"({"prompt": [[1, 2], [3]], "model": "m", "max_tokens": 5, "n": 2, "temperature": 0.5,
          "top_p": 0.9, "top_k": -1, "min_p": 0.1, "repetition_penalty": 1.1,
          "presence_penalty": -1, "frequency_penalty": 0.5, "seed": -1, "stop": ["x", "y"],
          "logit_bias": {"7": -100, "8": 2.5}, "stream": true,
          "stream_options": {"include_usage": true}, "logprobs": 3, "min_tokens": 2,
          "ignore_eos": true, "stop_token_ids": [4], "skip_special_tokens": false,
          "priority": -3, "return_token_ids": true, "user": "u", "suffix": null, "echo": false})",
      kLimits);
  const Request& request = fields.generation.request;
  ASSERT_EQ(fields.prompts.size(), 2);
  EXPECT_EQ(fields.prompts[0].ids, (std::vector<std::int32_t>{1, 2}));
  EXPECT_EQ(fields.generation.model, "m");
  EXPECT_EQ(request.max_new_tokens, 5);
  EXPECT_EQ(request.num_return_sequences, 2);
  EXPECT_EQ(request.sampling.temperature, 0.5f);
  EXPECT_EQ(request.sampling.top_p, 0.9f);
  EXPECT_EQ(request.sampling.top_k, 0);
  EXPECT_EQ(request.sampling.min_p, 0.1f);
  EXPECT_EQ(request.sampling.repetition_penalty, 1.1f);
  EXPECT_EQ(request.sampling.presence_penalty, -1.0f);
  EXPECT_EQ(request.sampling.frequency_penalty, 0.5f);
  EXPECT_EQ(request.sampling.seed, ~std::uint64_t{0});
  EXPECT_EQ(request.sampling.logit_bias.size(), 2);
  EXPECT_EQ(request.stop, (std::vector<std::string>{"x", "y"}));
  EXPECT_EQ(request.top_logprobs, 3);
  EXPECT_EQ(request.min_new_tokens, 2);
  EXPECT_EQ(request.stop_token_ids, (std::vector<std::int32_t>{4}));
  EXPECT_TRUE(request.ignore_eos);
  EXPECT_TRUE(request.keep_special);
  EXPECT_TRUE(fields.generation.stream);
  EXPECT_TRUE(fields.generation.include_usage);
  EXPECT_TRUE(fields.generation.return_token_ids);
  EXPECT_EQ(fields.generation.priority, -3);
}

TEST(CompletionFieldsTest, HasTheDefaultsOfTheApi) {
  const CompletionFields fields = parse_completion_fields(R"({"prompt": "a"})", kLimits);
  EXPECT_EQ(fields.generation.request.max_new_tokens, 16);
  EXPECT_EQ(fields.generation.request.sampling.temperature, 1.0f);
  EXPECT_FALSE(fields.generation.request.top_logprobs);
  const ModelLimits sampling{.vocab_size = 1000, .max_seq_len = 64, .samples = true};
  EXPECT_FALSE(parse_completion_fields(R"({"prompt": "a"})", sampling)
                   .generation.request.sampling.temperature);
}

TEST(ChatFieldsTest, RunsToTheEndOfTheContextWithoutALimit) {
  const auto parsed = [](const std::string& more) {
    return parse_chat_fields(R"({"messages": [{"role": "developer", "content": [
        {"type": "text", "text": "one"}, {"type": "text", "text": "two"}]}])" +
                                 more + "}",
                             kLimits);
  };
  EXPECT_EQ(parsed("").generation.request.max_new_tokens, 64);
  EXPECT_EQ(parsed(R"(, "max_tokens": 3)").generation.request.max_new_tokens, 3);
  EXPECT_EQ(parsed(R"(, "max_completion_tokens": 4)").generation.request.max_new_tokens, 4);
  EXPECT_EQ(parsed("").messages[0].dump(), R"({"role":"system","content":"one\ntwo"})");
}

TEST(ChatFieldsTest, GivesTemplatesWhatTheyRead) {
  const ChatFields fields = parse_chat_fields(
      R"({"messages": [{"role": "assistant", "content": null, "refusal": null, "reasoning": "hm",
          "tool_calls": [{"id": "1", "type": "function",
                          "function": {"name": "f", "arguments": "{\"a\": 1}"}}]},
          {"role": "tool", "tool_call_id": "1", "content": "9"}],
          "chat_template_kwargs": {"enable_thinking": false}})",
      kLimits);
  EXPECT_EQ(fields.messages[0]["tool_calls"][0]["function"]["arguments"]["a"], 1);
  EXPECT_EQ(fields.messages[0]["reasoning_content"], "hm");
  EXPECT_FALSE(fields.messages[0].contains("refusal"));
  EXPECT_EQ(fields.messages[1]["tool_call_id"], "1");
  EXPECT_EQ(fields.variables.at("enable_thinking"), "false");
}

struct Refusal {
  const char* more;   ///< further fields
  const char* param;  ///< what the error names
  const char* part;   ///< of its message
};

TEST(CompletionFieldsTest, NamesWhatIsWrong) {
  const std::vector<Refusal> cases = {
      {R"(, "temperature": -1)", "temperature", "from 0"},
      {R"(, "temperature": "hot")", "temperature", "\"hot\""},
      {R"(, "top_p": 0)", "top_p", "above 0"},
      {R"(, "top_p": 1.5)", "top_p", "from 0 to 1"},
      {R"(, "top_k": -2)", "top_k", "-2"},
      {R"(, "n": 0)", "n", "from 1"},
      {R"(, "n": 1.5)", "n", "1.5"},
      {R"(, "n": 100000)", "n", "to 256"},
      {R"(, "max_tokens": -1)", "max_tokens", "from 0"},
      {R"(, "max_tokens": 3, "max_completion_tokens": 4)", "max_tokens", "contradict"},
      {R"(, "seed": 9223372036854775808)", "seed", "9223372036854775807"},
      {R"(, "seed": -9223372036854775809)", "seed", "integer"},
      {R"(, "stop": ["a", "b", "c", "d", "e"])", "stop", "at most 4"},
      {R"(, "stop": "")", "stop", "empty"},
      {R"(, "stop": [1])", "stop", "text"},
      {R"(, "logit_bias": {"1000": 1})", "logit_bias", "1000"},
      {R"(, "logit_bias": {"x": 1})", "logit_bias", "\"x\""},
      {R"(, "logit_bias": {"1": 101})", "logit_bias.1", "-100 to 100"},
      {R"(, "logprobs": 21)", "logprobs", "to 20"},
      {R"(, "stop_token_ids": [1000])", "stop_token_ids", "vocabulary"},
      {R"(, "stream": 1)", "stream", "true or false"},
      {R"(, "stream_options": {"include_usage": true})", "stream_options", "stream"},
      {R"(, "stream": true, "stream_options": {"x": 1})", "stream_options.x", "unknown"},
      {R"(, "suffix": "s")", "suffix", "not served"},
      {R"(, "n": 2, "temperature": 0)", "n", "expected 1"},
      {R"(, "best_of": 2)", "best_of", "expected n"},
      {R"(, "include_stop_str_in_output": true)", "include_stop_str_in_output", "not served"},
      {R"(, "use_beam_search": true)", "use_beam_search", "not served"},
      {R"(, "max_token": 3)", "max_token", "max_tokens"},
  };
  for (const Refusal& each : cases) {
    const std::string error = completion_refusal(each.more);
    EXPECT_EQ(error.substr(0, error.find('|')), each.param) << each.more << error;
    EXPECT_NE(error.find(each.part), std::string::npos) << each.more << error;
  }
}

TEST(CompletionFieldsTest, RefusesPromptsThatAreNone) {
  const auto error = [](const std::string& prompt) {
    return refusal([&] { parse_completion_fields(R"({"prompt": )" + prompt + "}", kLimits); });
  };
  for (const char* prompt :
       {"\"\"", "[]", "[[]]", "[\"a\", \"\"]", "7", "{}", "[[1], \"a\"]", "[\"a\", 1]",
        "[1, \"a\"]", "[-1]", "[1.5]", "[1000]", "[[1, 1000]]", "null", "true"}) {
    EXPECT_EQ(error(prompt).substr(0, 6), "prompt") << prompt << error(prompt);
  }
}

TEST(ChatFieldsTest, NamesWhatIsWrong) {
  const std::vector<Refusal> cases = {
      {R"(, "top_logprobs": 2)", "top_logprobs", "logprobs"},
      {R"(, "logprobs": true, "top_logprobs": 21)", "top_logprobs", "to 20"},
      {R"(, "logprobs": 3)", "logprobs", "true or false"},
      {R"(, "tools": [{"type": "function"}])", "tools", "not served yet"},
      {R"(, "tools": {})", "tools", "a list"},
      {R"(, "tool_choice": "required")", "tool_choice", "not served yet"},
      {R"(, "functions": [{}])", "functions", "not served yet"},
      {R"(, "response_format": {"type": "json_object"})", "response_format", "json_object"},
      {R"(, "modalities": ["audio"])", "modalities", "audio"},
      {R"(, "audio": {"voice": "x"})", "audio", "not served"},
      {R"(, "continue_final_message": true, "add_generation_prompt": true)",
       "continue_final_message", "contradicts"},
      {R"(, "chat_template_kwargs": [])", "chat_template_kwargs", "object"},
      {R"(, "chat_template": "x")", "chat_template", "unknown"},
  };
  for (const Refusal& each : cases) {
    const std::string error = chat_refusal(each.more);
    EXPECT_EQ(error.substr(0, error.find('|')), each.param) << each.more << error;
    EXPECT_NE(error.find(each.part), std::string::npos) << each.more << error;
  }
  EXPECT_EQ(chat_refusal(R"(, "response_format": {"type": "text"}, "tools": [], "tool_choice":
      "none", "parallel_tool_calls": true, "store": false, "metadata": {"a": "b"}, "verbosity":
      "low", "reasoning_effort": "none", "modalities": ["text"])"),
            "");
}

TEST(ChatFieldsTest, NamesTheMessageAndThePart) {
  const auto error = [](const std::string& messages) {
    return refusal([&] { parse_chat_fields(R"({"messages": )" + messages + "}", kLimits); });
  };
  EXPECT_NE(error("[]").find("messages"), std::string::npos);
  EXPECT_NE(error("{}").find("messages"), std::string::npos);
  EXPECT_NE(error("[1]").find("messages[0]"), std::string::npos);
  EXPECT_NE(error(R"([{"role": "king", "content": "x"}])").find("messages[0].role"),
            std::string::npos);
  EXPECT_NE(error(R"([{"role": "user"}])").find("messages[0].content"), std::string::npos);
  EXPECT_NE(error(R"([{"role": "user", "content": 3}])").find("messages[0].content"),
            std::string::npos);
  const std::string calls =
      error(R"([{"role": "assistant", "tool_calls": [{"type": 7, "function": {"name": "f"}}]}])");
  EXPECT_NE(calls.find("messages[0].tool_calls"), std::string::npos) << calls;
  EXPECT_NE(calls.find("\"type\""), std::string::npos) << calls;
  for (const char* type : {"image_url", "input_audio", "file", "video_url"}) {
    const std::string said = error(R"([{"role": "user", "content": [{"type": "text", "text": "a"},
        {"type": ")" + std::string(type) +
                                   R"("}]}])");
    EXPECT_NE(said.find("messages[0].content[1]"), std::string::npos) << said;
    EXPECT_NE(said.find(type), std::string::npos) << said;
  }
}

TEST(FieldsTest, BodiesThatAreNoObjectsAreRefused) {
  const std::string deep(100000, '[');
  for (const std::string& body :
       {std::string(), std::string("null"), std::string("3"), std::string("\"text\""),
        std::string("[]"), std::string("{"), std::string("{\"a\": 1} x"), deep,
        std::string("{\"prompt\": \"\xff\"}"), std::string("{\"a\": 1e999}"),
        std::string("\0", 1)}) {
    EXPECT_NE(refusal([&] { parse_completion_fields(body, kLimits); }), "") << body.substr(0, 20);
  }
  // As in Python the last of two counts.
  EXPECT_EQ(parse_completion_fields(R"({"prompt": 3, "prompt": "a"})", kLimits).prompts[0].text,
            "a");
}

TEST(LogprobsTest, OffsetsAreInCharacters) {
  const std::vector<TokenLogprobs> logprobs = {{5, -0.5f, {{6, -0.25f}}}, {7, -1.0f, {}}};
  std::size_t offset = 3;
  CompletionLogprobs completion(nullptr, offset);
  completion.add_unscored(12);
  completion.add(logprobs);
  const OrderedJson json = completion.take_json();
  EXPECT_EQ(json["tokens"].dump(), R"(["<12>","<5>","<7>"])");
  EXPECT_EQ(json["token_logprobs"].dump(), "[null,-0.5,-1.0]");
  EXPECT_EQ(json["text_offset"].dump(), "[3,7,10]");
  EXPECT_TRUE(json["top_logprobs"][0].is_null());
  EXPECT_EQ(json["top_logprobs"][1].dump(), R"({"<6>":-0.25,"<5>":-0.5})");
  EXPECT_EQ(offset, 13);
  const OrderedJson chat = chat_logprobs(logprobs, nullptr);
  EXPECT_EQ(chat[0]["bytes"].dump(), "[60,53,62]");
  EXPECT_EQ(chat[0]["top_logprobs"][0]["token"], "<6>");
}

TEST(AnswerFormatTest, EventsAreLinesOfJson) {
  EXPECT_EQ(sse_event({{"a", "x\ny"}}), "data: {\"a\":\"x\\ny\"}\n\n");
}

}  // namespace
}  // namespace quern::tools
