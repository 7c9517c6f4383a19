#include <algorithm>
#include <utility>

#include "quern/text.h"
#include "tools/server/endpoints/endpoints.h"
#include "tools/server/openai/api_error.h"
#include "tools/server/openai/chat_fields.h"
#include "tools/server/openai/fields.h"

namespace quern::tools {
namespace {

/// A token's text, or where it is none its bytes, as llama.cpp's server gives pieces.
OrderedJson piece_of(std::int32_t id, const Tokenizer& tokenizer) {
  const std::string bytes = tokenizer.token_bytes(id);
  if (!invalid_utf8_at(bytes)) return bytes;
  OrderedJson numbers = OrderedJson::array();
  for (const char c : bytes) numbers.push_back(static_cast<unsigned char>(c));
  return numbers;
}

std::vector<std::int32_t> ids_of(const ApiContext& context, Fields& fields) {
  if (const OrderedJson* messages = fields.find("messages")) {
    ChatFormat::PromptOptions own;
    own.add_generation_prompt = fields.boolean("add_generation_prompt", true);
    fields.ignore({"prompt", "content", "add_special_tokens", "add_special", "parse_special"});
    return context.chat_format()
        .prompt(parse_messages(*messages), context.required_tokenizer(), own)
        .ids;
  }
  // vLLM's names, or llama.cpp's, whose server adds no BOS by itself.
  const auto prompt = fields.text("prompt");
  const auto content = fields.text("content");
  if (prompt.has_value() == content.has_value()) {
    bad_field("prompt", "expected one of \"prompt\", \"content\" and \"messages\"");
  }
  EncodeOptions options;
  const bool adds_special =
      fields.boolean("add_special", fields.boolean("add_special_tokens", prompt.has_value()));
  if (!adds_special) options.add_bos = false;
  options.parse_special = fields.boolean("parse_special", true);
  return context.required_tokenizer().encode(prompt ? *prompt : *content, options);
}

}  // namespace

void tokenize(const ApiContext& context, const Call& call) {
  Fields fields(call.request().body);
  context.served_name(fields.text("model"));
  const bool with_pieces = fields.boolean("with_pieces", false);
  const bool with_texts = fields.boolean("return_token_strs", false);
  const std::vector<std::int32_t> ids = ids_of(context, fields);
  fields.reject_unknown();
  OrderedJson tokens = OrderedJson::array();
  OrderedJson texts = OrderedJson::array();
  for (const std::int32_t id : ids) {
    const Tokenizer& tokenizer = context.required_tokenizer();
    if (with_pieces) {
      tokens.push_back({{"id", id}, {"piece", piece_of(id, tokenizer)}});
    } else {
      tokens.push_back(id);
    }
    if (with_texts) texts.push_back(replace_invalid_utf8(tokenizer.token_bytes(id)));
  }
  OrderedJson json = {{"count", ids.size()},
                      {"max_model_len", context.limits().max_seq_len},
                      {"tokens", std::move(tokens)}};
  if (with_texts) json["token_strs"] = std::move(texts);
  call.answer(json_response(json));
}

void apply_template(const ApiContext& context, const Call& call) {
  Fields fields(call.request().body);
  context.served_name(fields.text("model"));
  const TemplateFields parsed = parse_template_fields(fields);
  fields.reject_unknown();
  const ChatFormat::Prompt prompt = context.chat_prompt(parsed);
  call.answer(json_response({{"prompt", prompt.text}}));
}

void detokenize(const ApiContext& context, const Call& call) {
  Fields fields(call.request().body);
  context.served_name(fields.text("model"));
  const std::vector<std::int32_t> ids = token_ids_of(fields.required("tokens"), "tokens");
  fields.reject_unknown();
  const std::int32_t vocab_size = context.limits().vocab_size;
  for (const std::int32_t id : ids) {
    if (id >= vocab_size) {
      bad_field("tokens", "token id {} is outside of the vocabulary, which has {}", id, vocab_size);
    }
  }
  const std::string text = context.required_tokenizer().decode(ids, false);
  call.answer(json_response({{"prompt", text}, {"content", text}}));
}

}  // namespace quern::tools
