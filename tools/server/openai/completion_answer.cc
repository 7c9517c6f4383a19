#include <map>

#include "tools/server/openai/answer_format.h"
#include "tools/server/openai/logprobs.h"

namespace quern::tools {
namespace {

class CompletionAnswer final : public AnswerFormat {
 public:
  CompletionAnswer(AnswerHead head, std::vector<std::string> echoes)
      : AnswerFormat(std::move(head)), echoes_(std::move(echoes)) {}

  OrderedJson first_choice(int index, const ChoicePrompt& prompt) override {
    const std::string& text = echo(index);
    if (text.empty() && !head_.return_token_ids) return nullptr;
    OrderedJson json = choice(index, text);
    if (shows_prompt_logprobs()) {
      CompletionLogprobs logprobs(head_.tokenizer, offsets_[index]);
      add_prompt(prompt, logprobs);
      json["logprobs"] = logprobs.take_json();
    }
    if (head_.return_token_ids) json["prompt_token_ids"] = prompt.ids;
    return json;
  }

  OrderedJson next_choice(const ChoiceOutput& output) override {
    if (!shows(output)) return nullptr;
    OrderedJson json = choice(output.index, output.content);
    if (head_.with_logprobs) json["logprobs"] = logprobs(output);
    if (head_.return_token_ids) json["token_ids"] = output.token_ids;
    return json;
  }

  OrderedJson last_choice(const ChoiceOutput& output) override {
    OrderedJson json = choice(output.index, "");
    json["finish_reason"] = api_finish_reason(*output.finish_reason);
    return json;
  }

  OrderedJson whole_choice(const ChoiceOutput& output, const ChoicePrompt& prompt) override {
    OrderedJson json = choice(output.index, echo(output.index) + output.content);
    if (head_.with_logprobs) {
      CompletionLogprobs logprobs(head_.tokenizer, offsets_[output.index]);
      if (shows_prompt_logprobs()) add_prompt(prompt, logprobs);
      logprobs.add(output.logprobs);
      json["logprobs"] = logprobs.take_json();
    }
    json["finish_reason"] = api_finish_reason(*output.finish_reason);
    if (head_.return_token_ids) {
      json["token_ids"] = output.token_ids;
      json["prompt_token_ids"] = prompt.ids;
    }
    return json;
  }

  const char* chunk_object() const override { return "text_completion"; }
  const char* whole_object() const override { return "text_completion"; }

 private:
  OrderedJson choice(int index, const std::string& text) const {
    return {{"index", index}, {"text", text}, {"logprobs", nullptr}, {"finish_reason", nullptr}};
  }

  const std::string& echo(int index) const {
    static const std::string none;
    return echoes_.empty() ? none : echoes_[static_cast<std::size_t>(index)];
  }

  OrderedJson logprobs(const ChoiceOutput& output) {
    CompletionLogprobs logprobs(head_.tokenizer, offsets_[output.index]);
    logprobs.add(output.logprobs);
    return logprobs.take_json();
  }

  bool shows_prompt_logprobs() const { return head_.with_logprobs && !echoes_.empty(); }

  static void add_prompt(const ChoicePrompt& prompt, CompletionLogprobs& logprobs) {
    logprobs.add_unscored(prompt.ids.front());
    logprobs.add(prompt.logprobs);
  }

  std::vector<std::string> echoes_;
  std::map<int, std::size_t> offsets_;  ///< of the next token, by choice
};

}  // namespace

std::unique_ptr<AnswerFormat> make_completion_format(AnswerHead head,
                                                     std::vector<std::string> echoes) {
  return std::make_unique<CompletionAnswer>(std::move(head), std::move(echoes));
}

}  // namespace quern::tools
