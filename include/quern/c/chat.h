/* Part of quern/quern.h: chat templates, and answers taken apart. */
#ifndef QUERN_C_CHAT_H
#define QUERN_C_CHAT_H

#include "quern/c/base.h"
#include "quern/c/tokenizer.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A model's chat template, which turns messages into a prompt. Immutable: threads may share it. */
typedef struct quern_chat_template quern_chat_template;

/** The template of a folder or of "org/name" in the local cache. name_or_file: one of the model's
    by name, a built-in one (chatml, qwen) or a file; NULL: the model's own. has_tools chooses where
    it has several. Free with quern_chat_template_free. */
QUERN_C_API quern_status quern_chat_template_load(const char* model, const char* name_or_file,
                                                  int32_t has_tools,
                                                  quern_chat_template** chat_template);
/** From its text; errors call it `name`. */
QUERN_C_API quern_status quern_chat_template_parse(quern_string source, const char* name,
                                                   quern_chat_template** chat_template);
/** NULL is ignored. */
QUERN_C_API void quern_chat_template_free(quern_chat_template* chat_template);

/** Where it comes from, and its text: views. */
QUERN_C_API quern_string quern_chat_template_name(const quern_chat_template* chat_template);
QUERN_C_API quern_string quern_chat_template_source(const quern_chat_template* chat_template);

/** A message of text alone; others are written as JSON. */
typedef struct quern_message {
  quern_string role; /**< system, user, assistant, … */
  quern_string content;
} quern_message;

/** The messages as a JSON list, in memory for quern_free; `size` may be NULL. */
QUERN_C_API quern_status quern_messages_to_json(const quern_message* messages, size_t num_messages,
                                                char** json, size_t* size);

/** A variable of the template. */
typedef struct quern_chat_variable {
  quern_string name;
  quern_string value; /**< JSON */
} quern_chat_variable;

typedef struct quern_chat_input {
  size_t struct_size;                 /**< sizeof(quern_chat_input) */
  quern_string messages;              /**< a JSON list of objects, not empty */
  quern_string tools;                 /**< a JSON list of function schemas; empty: none */
  quern_string documents;             /**< a JSON list of objects; empty: none */
  quern_choice add_generation_prompt; /**< default: on */
  const quern_chat_variable* variables;
  size_t num_variables;
  const char* date; /**< YYYY-MM-DD that strftime_now sees; NULL: today */
} quern_chat_input;

/** Bytes [begin, end) of a text. */
typedef struct quern_text_range {
  size_t begin;
  size_t end;
} quern_text_range;

/** A rendered prompt. The library may add fields at the end. */
typedef struct quern_rendered_chat {
  quern_string text;
  const quern_text_range* untrusted; /**< what comes from outside the template, ascending */
  size_t num_untrusted;
} quern_rendered_chat;

/** Renders a prompt. Free with quern_rendered_chat_free. Errors: QUERN_INVALID_ARGUMENT with the
    template's line where it refuses the messages, or does what Jinja would not. */
QUERN_C_API quern_status quern_chat_template_render(const quern_chat_template* chat_template,
                                                    const quern_chat_input* input,
                                                    quern_rendered_chat** chat);
/** NULL is ignored. */
QUERN_C_API void quern_rendered_chat_free(quern_rendered_chat* chat);

/** The ids of a rendered prompt, for quern_request.prompt_ids, in memory for quern_free. Special
    tokens count where the template wrote them; in text of messages they stay text, unless
    parse_special_in_messages is 1. */
QUERN_C_API quern_status quern_chat_template_encode(const quern_chat_template* chat_template,
                                                    const quern_tokenizer* tokenizer,
                                                    const quern_rendered_chat* chat,
                                                    int32_t parse_special_in_messages,
                                                    int32_t** ids, size_t* num_ids);

/** How a model writes tool calls. */
typedef int32_t quern_tool_call_format;
enum {
  QUERN_TOOL_CALLS_NONE = 0,
  QUERN_TOOL_CALLS_HERMES = 1,
  QUERN_TOOL_CALLS_LLAMA3 = 2,
  QUERN_TOOL_CALLS_MISTRAL = 3
};

/** The format that the template shows. */
QUERN_C_API quern_tool_call_format
quern_chat_template_tool_calls(const quern_chat_template* chat_template);

/** Takes reasoning and tool calls apart while an answer streams. */
typedef struct quern_answer_parser quern_answer_parser;

typedef struct quern_answer_options {
  size_t struct_size; /**< sizeof(quern_answer_options) */
  quern_tool_call_format tool_calls;
  quern_choice parse_reasoning; /**< takes `<think>…</think>` apart; default: on */
  int32_t begins_in_reasoning;  /**< 1: the prompt ended with `<think>` */
  int32_t reserved;             /**< 0 */
} quern_answer_options;

typedef struct quern_tool_call {
  quern_string id; /**< empty where the format has none */
  quern_string name;
  quern_string arguments; /**< JSON */
} quern_tool_call;

/** What a piece of an answer adds. The library may add fields at the end. */
typedef struct quern_answer_delta {
  quern_string content;
  quern_string reasoning;
  const quern_tool_call* tool_calls; /**< those that are complete now */
  size_t num_tool_calls;
} quern_answer_delta;

/** options may be NULL. Free with quern_answer_parser_free. */
QUERN_C_API quern_status quern_answer_parser_create(const quern_answer_options* options,
                                                    quern_answer_parser** parser);
/** NULL is ignored. */
QUERN_C_API void quern_answer_parser_free(quern_answer_parser* parser);

/** *delta is a view until the parser's next call. */
QUERN_C_API quern_status quern_answer_parser_push(quern_answer_parser* parser, quern_string piece,
                                                  const quern_answer_delta** delta);
/** The answer ends here: what was held back. */
QUERN_C_API quern_status quern_answer_parser_finish(quern_answer_parser* parser,
                                                    const quern_answer_delta** delta);

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* QUERN_C_CHAT_H */
