#include <fmt/format.h>

#include <ctime>
#include <utility>

#include "tools/server/endpoints/endpoints.h"
#include "tools/server/endpoints/generation_responder.h"
#include "tools/server/openai/chat_fields.h"
#include "tools/server/openai/completion_fields.h"

namespace quern::tools {
namespace {

AnswerHead answer_head(const ApiContext& context, const Call& call, const char* prefix,
                       const GenerationFields& fields) {
  AnswerHead head;
  head.id = prefix + call.exchange->id();
  head.model = context.served_name(fields.model);
  head.created = std::time(nullptr);
  head.include_usage = fields.include_usage;
  head.with_logprobs = fields.request.top_logprobs.has_value();
  head.return_token_ids = fields.return_token_ids;
  head.tokenizer = context.tokenizer();
  return head;
}

/// Queues the prompts and leaves the answer to a responder. Errors: those of Service::submit; none
/// of the prompts runs then.
void run(const ApiContext& context, const Call& call, const GenerationFields& fields,
         GenerationResponder::Setup setup) {
  Request request = fields.request;
  for (RunningPrompt& prompt : setup.prompts) {
    if (call.exchange->abandoned()) return;
    request.prompt_ids = prompt.prompt.ids;
    SubmitOptions options;
    options.priority = fields.priority;
    options.on_output = [exchange = call.exchange] { exchange->wake(); };
    prompt.stream = context.service().submit(request, std::move(options));
  }
  setup.answers_per_prompt = request.num_return_sequences;
  setup.stream = fields.stream;
  setup.headers = call.headers;
  call.exchange->respond_by(std::make_unique<GenerationResponder>(std::move(setup)));
}

}  // namespace

void complete_chat(const ApiContext& context, const Call& call) {
  const ChatFields fields = parse_chat_fields(call.request().body, context.limits());
  GenerationResponder::Setup setup;
  AnswerHead head = answer_head(context, call, "chatcmpl-", fields.generation);
  const ChatFormat::Prompt prompt = context.chat_prompt(fields);
  setup.format = make_chat_format(std::move(head));
  RunningPrompt running;
  running.prompt.ids = prompt.ids;
  for (int i = 0; i < fields.generation.request.num_return_sequences; ++i) {
    running.parsers.emplace_back(context.chat_format(), prompt);
  }
  setup.prompts.push_back(std::move(running));
  run(context, call, fields.generation, std::move(setup));
}

void complete_text(const ApiContext& context, const Call& call) {
  const CompletionFields fields = parse_completion_fields(call.request().body, context.limits());
  GenerationResponder::Setup setup;
  AnswerHead head = answer_head(context, call, "cmpl-", fields.generation);
  std::vector<std::string> echoes;
  for (std::size_t i = 0; i < fields.prompts.size(); ++i) {
    const CompletionPrompt& prompt = fields.prompts[i];
    const std::string name =
        fields.prompts.size() > 1 ? fmt::format("prompt[{}]", i) : std::string("prompt");
    RunningPrompt running;
    running.prompt.ids = prompt.ids.empty() ? context.encode(prompt.text, name) : prompt.ids;
    context.check_length(running.prompt.ids.size(), name);
    if (fields.echo) {
      const std::string text =
          prompt.ids.empty() ? prompt.text : context.required_tokenizer().decode(prompt.ids, true);
      echoes.insert(echoes.end(),
                    static_cast<std::size_t>(fields.generation.request.num_return_sequences), text);
    }
    setup.prompts.push_back(std::move(running));
  }
  setup.format = make_completion_format(std::move(head), std::move(echoes));
  setup.only_prompt = fields.only_prompt;
  run(context, call, fields.generation, std::move(setup));
}

}  // namespace quern::tools
