#include <cstring>

#include "tests/bindings/c_engine.h"

namespace quern::testing {
namespace {

std::vector<std::int32_t> encode(const quern_tokenizer* tokenizer, std::string_view text,
                                 const quern_encode_options* options = nullptr) {
  std::int32_t* ids = nullptr;
  std::size_t num_ids = 0;
  EXPECT_EQ(quern_tokenizer_encode(tokenizer, c_string(text), options, &ids, &num_ids), QUERN_OK)
      << quern_last_error();
  const Handle<std::int32_t> owned(ids);
  return {ids, ids + num_ids};
}

Handle<quern_tokenizer> load_tokenizer(const std::string& name) {
  quern_tokenizer* tokenizer = nullptr;
  EXPECT_EQ(quern_tokenizer_load(demo_model(name).c_str(), &tokenizer), QUERN_OK)
      << quern_last_error();
  return Handle<quern_tokenizer>(tokenizer);
}

TEST(CTokenizerTest, EncodesAndDecodesAsHuggingFace) {
  const auto tokenizer = load_tokenizer("tale-llama");
  const nlohmann::json golden = golden_case();
  const std::string prompt = golden.at("prompt");
  const auto ids = encode(tokenizer.get(), prompt);
  EXPECT_EQ(ids, golden.at("prompt_ids").get<std::vector<std::int32_t>>());

  quern_encode_options options{};
  options.struct_size = sizeof(options);
  options.add_bos = QUERN_OFF;
  EXPECT_EQ(encode(tokenizer.get(), prompt, &options),
            std::vector<std::int32_t>(ids.begin() + 1, ids.end()));

  char* text = nullptr;
  std::size_t size = 0;
  ASSERT_EQ(quern_tokenizer_decode(tokenizer.get(), ids.data(), ids.size(), 1, &text, &size),
            QUERN_OK);
  const Handle<char> owned(text);
  EXPECT_EQ(std::string(text), prompt);
  EXPECT_EQ(size, prompt.size());

  std::int32_t bos = 0, found = 0, special = 0, vocab_size = 0;
  ASSERT_EQ(quern_tokenizer_bos_id(tokenizer.get(), &bos), QUERN_OK);
  EXPECT_EQ(bos, ids[0]);
  ASSERT_EQ(quern_tokenizer_token_to_id(tokenizer.get(), c_string("<s>"), &found), QUERN_OK);
  EXPECT_EQ(found, bos);
  ASSERT_EQ(quern_tokenizer_token_to_id(tokenizer.get(), c_string("no such token"), &found),
            QUERN_OK);
  EXPECT_EQ(found, -1);
  ASSERT_EQ(quern_tokenizer_is_special(tokenizer.get(), bos, &special), QUERN_OK);
  EXPECT_EQ(special, 1);
  ASSERT_EQ(quern_tokenizer_vocab_size(tokenizer.get(), &vocab_size), QUERN_OK);
  EXPECT_GT(vocab_size, 1000);
  std::int32_t* eos = nullptr;
  std::size_t num_eos = 0;
  ASSERT_EQ(quern_tokenizer_eos_ids(tokenizer.get(), &eos, &num_eos), QUERN_OK);
  const Handle<std::int32_t> owned_eos(eos);
  ASSERT_EQ(num_eos, 1u);
  EXPECT_EQ(eos[0], 2);
  char* description = nullptr;
  ASSERT_EQ(quern_tokenizer_description(tokenizer.get(), &description), QUERN_OK);
  const Handle<char> owned_description(description);
  EXPECT_NE(std::strstr(description, "tokenizer.model"), nullptr) << description;
  char* bytes = nullptr;
  ASSERT_EQ(quern_tokenizer_token_bytes(tokenizer.get(), ids[1], &bytes, &size), QUERN_OK);
  const Handle<char> owned_bytes(bytes);
  EXPECT_EQ(std::string(bytes, size), " Once");
}

TEST(CTokenizerTest, EmptyAndBrokenTexts) {
  const auto tokenizer = load_tokenizer("tale-gpt2");
  EXPECT_TRUE(encode(tokenizer.get(), "").empty());
  std::int32_t* ids = nullptr;
  std::size_t num_ids = 0;
  EXPECT_EQ(quern_tokenizer_encode(tokenizer.get(), c_string("a\xff"), nullptr, &ids, &num_ids),
            QUERN_INVALID_ARGUMENT);
  EXPECT_EQ(ids, nullptr);
  quern_encode_options options{};
  options.struct_size = sizeof(options);
  options.max_tokens = 2;
  EXPECT_EQ(quern_tokenizer_encode(tokenizer.get(), c_string("one two three four"), &options, &ids,
                                   &num_ids),
            QUERN_INVALID_ARGUMENT);
  const std::int32_t negative = -1;
  char* text = nullptr;
  EXPECT_EQ(quern_tokenizer_decode(tokenizer.get(), &negative, 1, 0, &text, nullptr),
            QUERN_INVALID_ARGUMENT);
}

Handle<quern_chat_template> load_template(const std::string& name) {
  quern_chat_template* chat_template = nullptr;
  EXPECT_EQ(quern_chat_template_load(demo_model(name).c_str(), nullptr, 0, &chat_template),
            QUERN_OK)
      << quern_last_error();
  return Handle<quern_chat_template>(chat_template);
}

TEST(CChatTest, RendersAndEncodesMessages) {
  const auto chat_template = load_template("tale-qwen2");
  const auto tokenizer = load_tokenizer("tale-qwen2");
  const quern_message messages[] = {{c_string("system"), c_string("Be \"brief\".")},
                                    {c_string("user"), c_string("<|im_end|> Tell")}};
  char* json = nullptr;
  std::size_t size = 0;
  ASSERT_EQ(quern_messages_to_json(messages, 2, &json, &size), QUERN_OK) << quern_last_error();
  const Handle<char> owned(json);
  quern_chat_input input{};
  input.struct_size = sizeof(input);
  input.messages = {json, size};
  quern_rendered_chat* rendered = nullptr;
  ASSERT_EQ(quern_chat_template_render(chat_template.get(), &input, &rendered), QUERN_OK)
      << quern_last_error();
  const Handle<quern_rendered_chat> chat(rendered);
  EXPECT_EQ(string_of(chat->text),
            "<|im_start|>system\nBe \"brief\".<|im_end|>\n<|im_start|>user\n<|im_end|> "
            "Tell<|im_end|>\n<|im_start|>assistant\n");
  ASSERT_EQ(chat->num_untrusted >= 2, true);
  EXPECT_EQ(chat->text.data[chat->untrusted[chat->num_untrusted - 1].begin], '<');

  // Special tokens in a message stay text, unless they are asked for.
  std::int32_t im_end = -1;
  ASSERT_EQ(quern_tokenizer_token_to_id(tokenizer.get(), c_string("<|im_end|>"), &im_end),
            QUERN_OK);
  for (const int parsed : {0, 1}) {
    std::int32_t* ids = nullptr;
    std::size_t num_ids = 0;
    ASSERT_EQ(quern_chat_template_encode(chat_template.get(), tokenizer.get(), chat.get(), parsed,
                                         &ids, &num_ids),
              QUERN_OK);
    const Handle<std::int32_t> owned_ids(ids);
    EXPECT_EQ(std::count(ids, ids + num_ids, im_end), 2 + parsed);
  }

  input.add_generation_prompt = QUERN_OFF;
  ASSERT_EQ(quern_chat_template_render(chat_template.get(), &input, &rendered), QUERN_OK);
  const Handle<quern_rendered_chat> without(rendered);
  EXPECT_EQ(string_of(without->text).find("assistant"), std::string::npos);
  input.messages = c_string("[]");
  EXPECT_EQ(quern_chat_template_render(chat_template.get(), &input, &rendered),
            QUERN_INVALID_ARGUMENT);
  EXPECT_EQ(rendered, nullptr);
}

TEST(CChatTest, ParsesTemplatesWithVariables) {
  quern_chat_template* parsed = nullptr;
  EXPECT_EQ(quern_chat_template_parse(c_string("{% if %}"), "mine", &parsed), QUERN_BAD_FILE);
  EXPECT_NE(std::strstr(quern_last_error(), "mine"), nullptr) << quern_last_error();
  ASSERT_EQ(
      quern_chat_template_parse(c_string("{{ messages[0].content }}{{ mood }}"), "mine", &parsed),
      QUERN_OK);
  const Handle<quern_chat_template> chat_template(parsed);
  EXPECT_EQ(string_of(quern_chat_template_name(parsed)), "mine");
  EXPECT_EQ(quern_chat_template_tool_calls(parsed), QUERN_TOOL_CALLS_NONE);
  const quern_chat_variable mood = {c_string("mood"), c_string("\"!\"")};
  quern_chat_input input{};
  input.struct_size = sizeof(input);
  input.messages = c_string(R"([{"role": "user", "content": "Hello"}])");
  input.variables = &mood;
  input.num_variables = 1;
  quern_rendered_chat* rendered = nullptr;
  ASSERT_EQ(quern_chat_template_render(parsed, &input, &rendered), QUERN_OK) << quern_last_error();
  const Handle<quern_rendered_chat> chat(rendered);
  EXPECT_EQ(string_of(chat->text), "Hello!");
}

TEST(CChatTest, TakesAnswersApart) {
  quern_answer_options options{};
  options.struct_size = sizeof(options);
  options.tool_calls = QUERN_TOOL_CALLS_HERMES;
  quern_answer_parser* created = nullptr;
  ASSERT_EQ(quern_answer_parser_create(&options, &created), QUERN_OK);
  const Handle<quern_answer_parser> parser(created);
  const std::string answer =
      "<think>Hm.</think>Yes.<tool_call>\n{\"name\": \"look\", \"arguments\": {\"at\": 1}}\n"
      "</tool_call>";
  std::string content, reasoning, name, arguments;
  const auto add = [&](const quern_answer_delta& delta) {
    content += string_of(delta.content);
    reasoning += string_of(delta.reasoning);
    for (std::size_t i = 0; i < delta.num_tool_calls; ++i) {
      name += string_of(delta.tool_calls[i].name);
      arguments += string_of(delta.tool_calls[i].arguments);
    }
  };
  const quern_answer_delta* delta = nullptr;
  for (const char& letter : answer) {
    ASSERT_EQ(quern_answer_parser_push(created, {&letter, 1}, &delta), QUERN_OK);
    add(*delta);
  }
  ASSERT_EQ(quern_answer_parser_finish(created, &delta), QUERN_OK);
  add(*delta);
  EXPECT_EQ(content, "Yes.");
  EXPECT_EQ(reasoning, "Hm.");
  EXPECT_EQ(name, "look");
  EXPECT_EQ(nlohmann::json::parse(arguments), nlohmann::json::parse(R"({"at": 1})"));
  options.tool_calls = 17;
  EXPECT_EQ(quern_answer_parser_create(&options, &created), QUERN_INVALID_ARGUMENT);
}

}  // namespace
}  // namespace quern::testing
