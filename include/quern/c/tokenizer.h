/* Part of quern/quern.h: tokenizers. */
#ifndef QUERN_C_TOKENIZER_H
#define QUERN_C_TOKENIZER_H

#include "quern/c/base.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Text to token ids and back. Immutable: threads may share it. */
typedef struct quern_tokenizer quern_tokenizer;

/** Loads the tokenizer files of a folder, or of "org/name" from the local cache. Free with
    quern_tokenizer_free. Errors: QUERN_NOT_FOUND, QUERN_BAD_FILE, QUERN_UNSUPPORTED. */
QUERN_C_API quern_status quern_tokenizer_load(const char* model, quern_tokenizer** tokenizer);
/** NULL is ignored. Not for an engine's tokenizer, which is a view. */
QUERN_C_API void quern_tokenizer_free(quern_tokenizer* tokenizer);

typedef struct quern_encode_options {
  size_t struct_size;         /**< sizeof(quern_encode_options) */
  quern_choice parse_special; /**< special tokens in the text become their ids; default: on */
  quern_choice add_bos; /**< default: as the tokenizer's files say, OFF: neither BOS nor EOS */
  uint64_t max_tokens;  /**< a text of more is an error; 0: no limit */
} quern_encode_options;

/** The ids of `text`, in memory for quern_free. options may be NULL. Errors: QUERN_INVALID_ARGUMENT
    for text that is not UTF-8, naming the byte, and for text beyond max_tokens. */
QUERN_C_API quern_status quern_tokenizer_encode(const quern_tokenizer* tokenizer, quern_string text,
                                                const quern_encode_options* options, int32_t** ids,
                                                size_t* num_ids);

/** The text of the ids, with a NUL behind its *size bytes, in memory for quern_free; `size` may be
    NULL. skip_special: 1 leaves out control tokens. Ill-formed UTF-8 becomes U+FFFD. Errors:
    QUERN_INVALID_ARGUMENT for a negative id. */
QUERN_C_API quern_status quern_tokenizer_decode(const quern_tokenizer* tokenizer,
                                                const int32_t* ids, size_t num_ids,
                                                int32_t skip_special, char** text, size_t* size);

/** The bytes that one id adds to a running text, which need not be UTF-8; otherwise as
    quern_tokenizer_decode. */
QUERN_C_API quern_status quern_tokenizer_token_bytes(const quern_tokenizer* tokenizer, int32_t id,
                                                     char** bytes, size_t* size);

/** The id of a token by its written form, special or not; *id is -1 if there is none. */
QUERN_C_API quern_status quern_tokenizer_token_to_id(const quern_tokenizer* tokenizer,
                                                     quern_string token, int32_t* id);

/** *is_special: 1 for control tokens, which skip_special leaves out. */
QUERN_C_API quern_status quern_tokenizer_is_special(const quern_tokenizer* tokenizer, int32_t id,
                                                    int32_t* is_special);

/** One more than the largest id that the tokenizer names. */
QUERN_C_API quern_status quern_tokenizer_vocab_size(const quern_tokenizer* tokenizer,
                                                    int32_t* vocab_size);

/** The BOS id, -1 if there is none. */
QUERN_C_API quern_status quern_tokenizer_bos_id(const quern_tokenizer* tokenizer, int32_t* id);

/** The EOS ids of the tokenizer's own files, in memory for quern_free; quern_model_info has those
    of the model. */
QUERN_C_API quern_status quern_tokenizer_eos_ids(const quern_tokenizer* tokenizer, int32_t** ids,
                                                 size_t* num_ids);

/** Kind and files, for people, in memory for quern_free. */
QUERN_C_API quern_status quern_tokenizer_description(const quern_tokenizer* tokenizer,
                                                     char** description);

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* QUERN_C_TOKENIZER_H */
