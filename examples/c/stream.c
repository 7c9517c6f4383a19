/* Loads a model folder and streams one completion: stream MODEL_FOLDER [PROMPT] */
#include <stdio.h>
#include <string.h>

#include "quern/quern.h"

/* Writes the new text at once. A return value other than 0 would cancel the request. */
static int print_update(void* user_data, const quern_update* update) {
  FILE* file = (FILE*)user_data;
  fwrite(update->text.data, 1, update->text.size, file);
  fflush(file);
  return 0;
}

int main(int argc, char** argv) {
  if (argc < 2) {
    fprintf(stderr, "usage: %s MODEL_FOLDER [PROMPT]\n", argv[0]);
    return 2;
  }

  quern_engine_options options = {.struct_size = sizeof(options)};
  options.max_seqs = 1;
  quern_engine* engine = NULL;
  if (quern_engine_load(argv[1], &options, &engine) != QUERN_OK) {
    fprintf(stderr, "error: %s\n", quern_last_error());
    return 1;
  }

  quern_sampling_params sampling = {.struct_size = sizeof(sampling)};
  sampling.greedy = 1;
  quern_request request = {.struct_size = sizeof(request)};
  request.prompt.data = argc > 2 ? argv[2] : "Once upon a time";
  request.prompt.size = strlen(request.prompt.data);
  request.sampling = &sampling;
  request.max_new_tokens = 64;

  const quern_request* requests[] = {&request};
  quern_result* result = NULL;
  int exit_code = 1;
  if (quern_engine_generate(engine, requests, 1, print_update, stdout, &result) != QUERN_OK) {
    fprintf(stderr, "error: %s\n", quern_engine_error(engine));
  } else if (result->sequences[0]->finish_reason == QUERN_FINISH_ERROR) {
    fprintf(stderr, "\nerror: %s\n", result->sequences[0]->error.data);
  } else {
    printf("\n");
    exit_code = 0;
  }
  quern_result_free(result);
  quern_engine_free(engine);
  return exit_code;
}
