#include "tools/server/openai/answer_format.h"
#include "tools/server/openai/logprobs.h"

namespace quern::tools {
namespace {

class ChatAnswer final : public AnswerFormat {
 public:
  using AnswerFormat::AnswerFormat;

  OrderedJson first_choice(int index, const ChoicePrompt& prompt) override {
    OrderedJson json = choice(index, {{"role", "assistant"}, {"content", nullptr}});
    if (head_.return_token_ids) json["prompt_token_ids"] = prompt.ids;
    return json;
  }

  OrderedJson next_choice(const ChoiceOutput& output) override {
    if (!shows(output)) return nullptr;
    OrderedJson delta = OrderedJson::object();
    if (!output.reasoning.empty()) delta["reasoning_content"] = output.reasoning;
    if (!output.content.empty() || output.reasoning.empty()) delta["content"] = output.content;
    OrderedJson json = choice(output.index, std::move(delta));
    if (head_.with_logprobs) json["logprobs"] = logprobs(output);
    if (head_.return_token_ids) json["token_ids"] = output.token_ids;
    return json;
  }

  OrderedJson last_choice(const ChoiceOutput& output) override {
    OrderedJson json = choice(output.index, OrderedJson::object());
    json["finish_reason"] = api_finish_reason(*output.finish_reason);
    return json;
  }

  OrderedJson whole_choice(const ChoiceOutput& output, const ChoicePrompt& prompt) override {
    OrderedJson message = {{"role", "assistant"}, {"content", output.content}};
    if (!output.reasoning.empty()) message["reasoning_content"] = output.reasoning;
    OrderedJson json = {{"index", output.index},
                        {"message", std::move(message)},
                        {"logprobs", head_.with_logprobs ? logprobs(output) : OrderedJson()},
                        {"finish_reason", api_finish_reason(*output.finish_reason)}};
    if (head_.return_token_ids) {
      json["token_ids"] = output.token_ids;
      json["prompt_token_ids"] = prompt.ids;
    }
    return json;
  }

  const char* chunk_object() const override { return "chat.completion.chunk"; }
  const char* whole_object() const override { return "chat.completion"; }

 private:
  OrderedJson choice(int index, OrderedJson delta) const {
    return {{"index", index},
            {"delta", std::move(delta)},
            {"logprobs", nullptr},
            {"finish_reason", nullptr}};
  }

  OrderedJson logprobs(const ChoiceOutput& output) const {
    return {{"content", chat_logprobs(output.logprobs, head_.tokenizer)}};
  }
};

}  // namespace

std::unique_ptr<AnswerFormat> make_chat_format(AnswerHead head) {
  return std::make_unique<ChatAnswer>(std::move(head));
}

}  // namespace quern::tools
