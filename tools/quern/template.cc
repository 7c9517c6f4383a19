#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "quern/chat.h"
#include "quern/files.h"
#include "quern/tokenizer.h"
#include "tools/chat/messages_file.h"
#include "tools/chat/template_options.h"
#include "tools/cli/model_options.h"
#include "tools/cli/option_group.h"
#include "tools/cli/usage_error.h"
#include "tools/input/text_input.h"
#include "tools/output/console.h"
#include "tools/output/json_output.h"
#include "tools/output/output_options.h"
#include "tools/quern/command.h"

namespace quern::tools {
namespace {

struct RenderOptions {
  std::string model;
  std::string messages;
  std::optional<std::string> tools;
  TemplateOptions rendering;
  bool no_generation_prompt = false;
  OutputOptions output;
};

ExitCode render_template(const RenderOptions& options) {
  const std::filesystem::path folder = find_model_folder(chosen_model(options.model));
  ChatInput input;
  MessagesFile file = read_messages_file(options.messages);
  input.messages = std::move(file.messages);
  input.tools = std::move(file.tools);
  if (options.tools) {
    if (input.tools) {
      usage_error("--tools and the key 'tools' of {} contradict each other",
                  input_name(options.messages));
    }
    input.tools = read_utf8_file(*options.tools);
  }
  input.add_generation_prompt = !options.no_generation_prompt;
  input.variables = options.rendering.variables;
  input.date = options.rendering.date;
  const ChatTemplate chat_template =
      ChatTemplate::load(folder, options.rendering.chat_template, input.tools.has_value());
  const RenderedChat chat = chat_template.render(input);
  if (!options.output.json) {
    write_stdout(chat.text + "\n");
    return ExitCode::done;
  }
  const auto tokenizer = Tokenizer::load(folder);
  const auto ids =
      chat_template.encode(*tokenizer, chat, options.rendering.parse_special_in_messages);
  print_json({{"prompt", chat.text}, {"prompt_ids", ids}});
  return ExitCode::done;
}

}  // namespace

Action add_template(CLI::App& app) {
  const auto options = std::make_shared<RenderOptions>();
  add_model_option(app, options->model);
  OptionGroup group(app, "Conversation");
  const CLI::Option* messages = group.text(
      {"--messages", "FILE",
       "A JSON list of messages, or an object with \"messages\" and \"tools\"; - is standard "
       "input"},
      options->messages);
  group.text({"--tools", "FILE", "What the model may call: a JSON list of function schemas"},
             options->tools);
  group.flag("--no-generation-prompt", options->no_generation_prompt,
             "End behind the last message, not where the answer begins");
  add_template_options(app, options->rendering, "Template");
  add_output_options(app, options->output);
  return [=] {
    if (messages->count() == 0) usage_error("--messages FILE is missing: the conversation");
    reject_stdin_twice(
        {{"--messages", options->messages}, {"--tools", options->tools.value_or("")}});
    apply_output_options(options->output);
    return render_template(*options);
  };
}

}  // namespace quern::tools
