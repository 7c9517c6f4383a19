/* Asks a chat model one question, with steps of the caller's own: chat MODEL_FOLDER QUESTION */
#include <stdio.h>
#include <string.h>

#include "quern/quern.h"

static quern_string string_of(const char* text) {
  quern_string string = {text, strlen(text)};
  return string;
}

/* The prompt's ids, for quern_free; NULL after an error. */
static int32_t* encode_question(const quern_engine* engine, const char* model, const char* question,
                                size_t* num_ids) {
  quern_chat_template* chat_template = NULL;
  quern_rendered_chat* chat = NULL;
  char* json = NULL;
  int32_t* ids = NULL;
  quern_message message = {string_of("user"), string_of(question)};
  quern_chat_input input = {.struct_size = sizeof(input)};
  if (quern_chat_template_load(model, NULL, 0, &chat_template) == QUERN_OK &&
      quern_messages_to_json(&message, 1, &json, &input.messages.size) == QUERN_OK) {
    input.messages.data = json;
    if (quern_chat_template_render(chat_template, &input, &chat) == QUERN_OK) {
      quern_chat_template_encode(chat_template, quern_engine_tokenizer(engine), chat, 0, &ids,
                                 num_ids);
    }
  }
  quern_rendered_chat_free(chat);
  quern_free(json);
  quern_chat_template_free(chat_template);
  return ids;
}

int main(int argc, char** argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: %s MODEL_FOLDER QUESTION\n", argv[0]);
    return 2;
  }
  quern_engine* engine = NULL;
  quern_engine_options options = {.struct_size = sizeof(options)};
  options.max_seqs = 1;
  quern_request request = {.struct_size = sizeof(request)};
  request.max_new_tokens = 48;
  int32_t* ids = NULL;
  int ok = quern_engine_load(argv[1], &options, &engine) == QUERN_OK;
  if (ok) ids = encode_question(engine, argv[1], argv[2], &request.prompt_ids.count);
  request.prompt_ids.ids = ids;
  ok = ok && ids != NULL && quern_engine_submit(engine, &request, NULL) == QUERN_OK;
  while (ok && quern_engine_busy(engine)) {
    quern_updates updates;
    ok = quern_engine_step(engine, &updates) == QUERN_OK;
    for (size_t i = 0; i < updates.count; ++i) {
      const quern_update* update = quern_updates_at(&updates, i);
      fwrite(update->text.data, 1, update->text.size, stdout);
    }
    fflush(stdout);
  }
  if (ok) {
    printf("\n");
  } else {
    fprintf(stderr, "error: %s\n", quern_last_error());
  }
  quern_free(ids);
  quern_engine_free(engine);
  return ok ? 0 : 1;
}
