#include "quern/tokenizer.h"

#include "bindings/c/failure.h"
#include "bindings/c/handles.h"
#include "bindings/c/structs.h"
#include "bindings/c/values.h"
#include "quern/files.h"

namespace {

using quern::c::guarded;
using quern::c::require;

/// Runs `body` with the tokenizer of a handle that is not NULL.
template <class Body>
quern_status with_tokenizer(const quern_tokenizer* tokenizer, Body&& body) noexcept {
  return guarded([&] {
    require(tokenizer, "tokenizer");
    body(*tokenizer->tokenizer);
  });
}

std::span<const std::int32_t> given_ids(const std::int32_t* ids, std::size_t num_ids) {
  if (num_ids > 0) require(ids, "ids");
  return quern::c::ids_of({ids, num_ids});
}

void give_text(std::string_view text, char** out, std::size_t* size) {
  *out = quern::c::copy_text(text);
  if (size != nullptr) *size = text.size();
}

}  // namespace

extern "C" {

quern_status quern_tokenizer_load(const char* model, quern_tokenizer** tokenizer) {
  return guarded([&] {
    require(tokenizer, "tokenizer");
    *tokenizer = nullptr;
    require(model, "model");
    auto handle = std::make_unique<quern_tokenizer>();
    handle->owned = quern::Tokenizer::load(quern::find_model_folder(model));
    handle->tokenizer = handle->owned.get();
    *tokenizer = handle.release();
  });
}

void quern_tokenizer_free(quern_tokenizer* tokenizer) { delete tokenizer; }

quern_status quern_tokenizer_encode(const quern_tokenizer* tokenizer, quern_string text,
                                    const quern_encode_options* options, int32_t** ids,
                                    size_t* num_ids) {
  return with_tokenizer(tokenizer, [&](const quern::Tokenizer& inner) {
    require(ids, "ids");
    require(num_ids, "num_ids");
    *ids = nullptr;
    *num_ids = 0;
    if (text.size > 0) require(text.data, "text");
    quern::EncodeOptions read;
    if (options != nullptr) {
      const auto given = quern::c::read_struct(*options, "quern_encode_options");
      read.parse_special = quern::c::choice_of(given.parse_special, "parse_special").value_or(true);
      read.add_bos = quern::c::choice_of(given.add_bos, "add_bos");
      if (given.max_tokens > INT64_MAX) {
        throw quern::Error(
            quern::ErrorCode::invalid_argument,
            "'max_tokens': expected at most 2^63 - 1, got " + std::to_string(given.max_tokens));
      }
      if (given.max_tokens > 0) read.max_tokens = static_cast<std::int64_t>(given.max_tokens);
    }
    const std::vector<std::int32_t> encoded = inner.encode(quern::c::text_of(text), read);
    *ids = quern::c::copy_ids(encoded);
    *num_ids = encoded.size();
  });
}

quern_status quern_tokenizer_decode(const quern_tokenizer* tokenizer, const int32_t* ids,
                                    size_t num_ids, int32_t skip_special, char** text,
                                    size_t* size) {
  return with_tokenizer(tokenizer, [&](const quern::Tokenizer& inner) {
    require(text, "text");
    *text = nullptr;
    if (size != nullptr) *size = 0;
    give_text(inner.decode(given_ids(ids, num_ids), skip_special != 0), text, size);
  });
}

quern_status quern_tokenizer_token_bytes(const quern_tokenizer* tokenizer, int32_t id, char** bytes,
                                         size_t* size) {
  return with_tokenizer(tokenizer, [&](const quern::Tokenizer& inner) {
    require(bytes, "bytes");
    *bytes = nullptr;
    if (size != nullptr) *size = 0;
    give_text(inner.token_bytes(id), bytes, size);
  });
}

quern_status quern_tokenizer_token_to_id(const quern_tokenizer* tokenizer, quern_string token,
                                         int32_t* id) {
  return with_tokenizer(tokenizer, [&](const quern::Tokenizer& inner) {
    require(id, "id");
    *id = -1;
    if (token.size > 0) require(token.data, "token");
    *id = inner.token_to_id(quern::c::text_of(token)).value_or(-1);
  });
}

quern_status quern_tokenizer_is_special(const quern_tokenizer* tokenizer, int32_t id,
                                        int32_t* is_special) {
  return with_tokenizer(tokenizer, [&](const quern::Tokenizer& inner) {
    require(is_special, "is_special");
    *is_special = inner.is_special(id) ? 1 : 0;
  });
}

quern_status quern_tokenizer_vocab_size(const quern_tokenizer* tokenizer, int32_t* vocab_size) {
  return with_tokenizer(tokenizer, [&](const quern::Tokenizer& inner) {
    require(vocab_size, "vocab_size");
    *vocab_size = inner.vocab_size();
  });
}

quern_status quern_tokenizer_bos_id(const quern_tokenizer* tokenizer, int32_t* id) {
  return with_tokenizer(tokenizer, [&](const quern::Tokenizer& inner) {
    require(id, "id");
    *id = inner.bos_id().value_or(-1);
  });
}

quern_status quern_tokenizer_eos_ids(const quern_tokenizer* tokenizer, int32_t** ids,
                                     size_t* num_ids) {
  return with_tokenizer(tokenizer, [&](const quern::Tokenizer& inner) {
    require(ids, "ids");
    require(num_ids, "num_ids");
    const std::vector<std::int32_t> found = inner.eos_ids();
    *ids = quern::c::copy_ids(found);
    *num_ids = found.size();
  });
}

quern_status quern_tokenizer_description(const quern_tokenizer* tokenizer, char** description) {
  return with_tokenizer(tokenizer, [&](const quern::Tokenizer& inner) {
    require(description, "description");
    *description = quern::c::copy_text(inner.description());
  });
}

}  // extern "C"
