#include "quern/chat.h"

#include "bindings/c/failure.h"
#include "bindings/c/handles.h"
#include "bindings/c/structs.h"
#include "bindings/c/values.h"
#include "quern/files.h"

struct quern_chat_template {
  quern::ChatTemplate inner;
};

struct quern_answer_parser {
  quern::AnswerParser inner;
  quern::AnswerDelta delta;
  std::vector<quern_tool_call> tool_calls;
  quern_answer_delta view{};
};

namespace {

using quern::c::guarded;
using quern::c::require;
using quern::c::text_of;
using quern::c::view_of;

struct OwnedChat {
  quern_rendered_chat view{};  // first: its address is that of the whole
  quern::RenderedChat chat;
  std::vector<quern_text_range> untrusted;
};

std::string read_text(quern_string text, const char* name) {
  if (text.size > 0) require(text.data, name);
  return std::string(text_of(text));
}

quern::ChatInput read_input(const quern_chat_input& given_struct) {
  const auto given = quern::c::read_struct(given_struct, "quern_chat_input");
  quern::ChatInput input;
  input.messages = read_text(given.messages, "messages");
  if (given.tools.size > 0) input.tools = read_text(given.tools, "tools");
  if (given.documents.size > 0) input.documents = read_text(given.documents, "documents");
  input.add_generation_prompt =
      quern::c::choice_of(given.add_generation_prompt, "add_generation_prompt").value_or(true);
  if (given.num_variables > 0) require(given.variables, "variables");
  for (std::size_t i = 0; i < given.num_variables; ++i) {
    input.variables[read_text(given.variables[i].name, "variables")] =
        read_text(given.variables[i].value, "variables");
  }
  if (given.date != nullptr) input.date = given.date;
  return input;
}

/// The next delta of a parser, as its view.
const quern_answer_delta* keep(quern_answer_parser& parser, quern::AnswerDelta delta) {
  parser.delta = std::move(delta);
  parser.tool_calls.clear();
  for (const quern::ToolCall& call : parser.delta.tool_calls) {
    parser.tool_calls.push_back({view_of(call.id), view_of(call.name), view_of(call.arguments)});
  }
  parser.view.content = view_of(parser.delta.content);
  parser.view.reasoning = view_of(parser.delta.reasoning);
  parser.view.tool_calls = parser.tool_calls.data();
  parser.view.num_tool_calls = parser.tool_calls.size();
  return &parser.view;
}

static_assert(static_cast<int>(quern::ToolCallFormat::hermes) == QUERN_TOOL_CALLS_HERMES &&
              static_cast<int>(quern::ToolCallFormat::llama3) == QUERN_TOOL_CALLS_LLAMA3 &&
              static_cast<int>(quern::ToolCallFormat::mistral) == QUERN_TOOL_CALLS_MISTRAL);

}  // namespace

extern "C" {

quern_status quern_chat_template_load(const char* model, const char* name_or_file,
                                      int32_t has_tools, quern_chat_template** chat_template) {
  return guarded([&] {
    require(chat_template, "chat_template");
    *chat_template = nullptr;
    require(model, "model");
    std::optional<std::string> name;
    if (name_or_file != nullptr) name = name_or_file;
    *chat_template = new quern_chat_template{
        quern::ChatTemplate::load(quern::find_model_folder(model), name, has_tools != 0)};
  });
}

quern_status quern_chat_template_parse(quern_string source, const char* name,
                                       quern_chat_template** chat_template) {
  return guarded([&] {
    require(chat_template, "chat_template");
    *chat_template = nullptr;
    require(name, "name");
    *chat_template =
        new quern_chat_template{quern::ChatTemplate::parse(read_text(source, "source"), name)};
  });
}

void quern_chat_template_free(quern_chat_template* chat_template) { delete chat_template; }

quern_string quern_chat_template_name(const quern_chat_template* chat_template) {
  return chat_template == nullptr ? quern_string{} : view_of(chat_template->inner.name());
}

quern_string quern_chat_template_source(const quern_chat_template* chat_template) {
  return chat_template == nullptr ? quern_string{} : view_of(chat_template->inner.source());
}

quern_tool_call_format quern_chat_template_tool_calls(const quern_chat_template* chat_template) {
  if (chat_template == nullptr) return QUERN_TOOL_CALLS_NONE;
  return static_cast<quern_tool_call_format>(
      quern::tool_call_format(chat_template->inner.source()));
}

quern_status quern_messages_to_json(const quern_message* messages, size_t num_messages, char** json,
                                    size_t* size) {
  return guarded([&] {
    require(json, "json");
    *json = nullptr;
    if (size != nullptr) *size = 0;
    if (num_messages > 0) require(messages, "messages");
    std::vector<quern::Message> read(num_messages);
    for (std::size_t i = 0; i < num_messages; ++i) {
      read[i].role = read_text(messages[i].role, "role");
      read[i].content = read_text(messages[i].content, "content");
    }
    const std::string text = quern::messages_to_json(read);
    *json = quern::c::copy_text(text);
    if (size != nullptr) *size = text.size();
  });
}

quern_status quern_chat_template_render(const quern_chat_template* chat_template,
                                        const quern_chat_input* input, quern_rendered_chat** chat) {
  return guarded([&] {
    require(chat, "chat");
    *chat = nullptr;
    require(chat_template, "chat_template");
    require(input, "input");
    auto owned = std::make_unique<OwnedChat>();
    owned->chat = chat_template->inner.render(read_input(*input));
    for (const quern::TextRange& range : owned->chat.untrusted) {
      owned->untrusted.push_back({range.begin, range.end});
    }
    owned->view = {view_of(owned->chat.text), owned->untrusted.data(), owned->untrusted.size()};
    *chat = &owned.release()->view;
  });
}

void quern_rendered_chat_free(quern_rendered_chat* chat) {
  delete reinterpret_cast<OwnedChat*>(chat);
}

quern_status quern_chat_template_encode(const quern_chat_template* chat_template,
                                        const quern_tokenizer* tokenizer,
                                        const quern_rendered_chat* chat,
                                        int32_t parse_special_in_messages, int32_t** ids,
                                        size_t* num_ids) {
  return guarded([&] {
    require(ids, "ids");
    require(num_ids, "num_ids");
    *ids = nullptr;
    *num_ids = 0;
    require(chat_template, "chat_template");
    require(tokenizer, "tokenizer");
    require(chat, "chat");
    const auto& owned = *reinterpret_cast<const OwnedChat*>(chat);
    const std::vector<std::int32_t> encoded = chat_template->inner.encode(
        *tokenizer->tokenizer, owned.chat, parse_special_in_messages != 0);
    *ids = quern::c::copy_ids(encoded);
    *num_ids = encoded.size();
  });
}

quern_status quern_answer_parser_create(const quern_answer_options* options,
                                        quern_answer_parser** parser) {
  return guarded([&] {
    require(parser, "parser");
    *parser = nullptr;
    quern::AnswerOptions read;
    if (options != nullptr) {
      const auto given = quern::c::read_struct(*options, "quern_answer_options");
      quern::c::check_enum(given.tool_calls, QUERN_TOOL_CALLS_MISTRAL, "tool_calls");
      read.tool_calls = static_cast<quern::ToolCallFormat>(given.tool_calls);
      read.parse_reasoning =
          quern::c::choice_of(given.parse_reasoning, "parse_reasoning").value_or(true);
      read.begins_in_reasoning = given.begins_in_reasoning != 0;
    }
    *parser = new quern_answer_parser{quern::AnswerParser(read), {}, {}};
  });
}

void quern_answer_parser_free(quern_answer_parser* parser) { delete parser; }

quern_status quern_answer_parser_push(quern_answer_parser* parser, quern_string piece,
                                      const quern_answer_delta** delta) {
  return guarded([&] {
    require(parser, "parser");
    require(delta, "delta");
    *delta = nullptr;
    if (piece.size > 0) require(piece.data, "piece");
    *delta = keep(*parser, parser->inner.push(text_of(piece)));
  });
}

quern_status quern_answer_parser_finish(quern_answer_parser* parser,
                                        const quern_answer_delta** delta) {
  return guarded([&] {
    require(parser, "parser");
    require(delta, "delta");
    *delta = nullptr;
    *delta = keep(*parser, parser->inner.finish());
  });
}

}  // extern "C"
