#include "tokenizer/config/tokenizer_config.h"

#include <array>
#include <charconv>
#include <limits>
#include <set>

#include "base/error.h"
#include "io/open_file.h"

namespace quern {
namespace {

constexpr std::int64_t kMaxId = std::numeric_limits<std::int32_t>::max() - 1;

/// The object in a file of the folder, if the file is there.
std::optional<Json> read_if_there(const std::filesystem::path& path) {
  if (!is_listed(path)) return std::nullopt;
  return std::make_optional<Json>(read_json(path));
}

/// A token written as a string or as {"content": …}.
std::optional<NamedToken> named_token(const JsonObject& json, const std::string& key) {
  const Json* value = json.find(key);
  if (value == nullptr) return std::nullopt;
  const std::string content =
      value->is_object() ? json.object(key)->required_string("content") : json.required_string(key);
  if (content.empty()) json.reject(key, "a token");
  return NamedToken{content, fmt::format("{}: key '{}'", json.file(), key)};
}

/// Takes what tokenizer_config.json or special_tokens_map.json names; what was named before stays.
void read_named_tokens(const JsonObject& json, TokenizerConfig& config) {
  const auto read = [&](const char* key, bool& is_there, std::optional<NamedToken>& token) {
    if (is_there || !json.json().contains(key)) return;
    is_there = true;
    token = named_token(json, key);
  };
  read("bos_token", config.has_bos_token, config.bos_token);
  read("eos_token", config.has_eos_token, config.eos_token);
  for (const char* key : {"unk_token", "pad_token", "sep_token", "cls_token", "mask_token"}) {
    if (const auto token = named_token(json, key)) {
      config.other_special_tokens.push_back(token->content);
    }
  }
  for (const char* key : {"additional_special_tokens", "extra_special_tokens"}) {
    const Json* tokens = json.find(key);
    if (tokens == nullptr) continue;
    if (!tokens->is_array() && !tokens->is_object()) json.reject(key, "a list or an object");
    for (const Json& token : *tokens) {
      const Json& content =
          token.is_object() && token.contains("content") ? token["content"] : token;
      if (!content.is_string()) json.reject(key, "tokens");
      config.other_special_tokens.push_back(content.get<std::string>());
    }
  }
}

void read_added_tokens_decoder(const JsonObject& json, TokenizerConfig& config) {
  const auto decoder = json.object("added_tokens_decoder");
  if (!decoder) return;
  config.added_tokens_file = json.file();
  for (const auto& [key, value] : decoder->json().items()) {
    std::int32_t id = -1;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (error != std::errc() || end != key.data() + key.size() || id < 0 || id > kMaxId) {
      fail(ErrorCode::bad_file, "{}: key 'added_tokens_decoder': expected ids as keys, got {}",
           json.file(), quoted_name(key));
    }
    AddedToken token = read_added_token(*decoder->object(key));
    token.id = id;
    config.added_tokens.push_back(std::move(token));
  }
}

/// The old form: {"token": id}.
void read_added_tokens_json(const JsonObject& json, TokenizerConfig& config) {
  config.added_tokens_file = json.file();
  std::set<std::string> special(config.other_special_tokens.begin(),
                                config.other_special_tokens.end());
  for (const auto& named : {config.bos_token, config.eos_token}) {
    if (named) special.insert(named->content);
  }
  for (const auto& [content, value] : json.json().items()) {
    AddedToken token;
    token.content = content;
    token.id = static_cast<std::int32_t>(json.required_integer(content, 0, kMaxId));
    token.special = special.count(content) > 0;
    token.normalized = !token.special;
    config.added_tokens.push_back(std::move(token));
  }
}

/// The class that Hugging Face takes for a model type when no file names one.
std::string class_of_model_type(const std::string& model_type) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 7> kClasses = {
      {{"gpt2", "GPT2Tokenizer"},
       {"llama", "LlamaTokenizer"},
       {"qwen", "QWenTokenizer"},
       {"qwen2", "Qwen2Tokenizer"},
       {"qwen2_moe", "Qwen2Tokenizer"},
       {"qwen3", "Qwen2Tokenizer"},
       {"qwen3_moe", "Qwen2Tokenizer"}}};
  for (const auto& [type, tokenizer_class] : kClasses) {
    if (type == model_type) return std::string(tokenizer_class);
  }
  return {};
}

}  // namespace

AddedToken read_added_token(const JsonObject& json) {
  AddedToken token;
  token.content = json.required_string("content");
  if (token.content.empty()) json.reject("content", "a token");
  token.special = json.boolean("special").value_or(false);
  token.single_word = json.boolean("single_word").value_or(false);
  token.lstrip = json.boolean("lstrip").value_or(false);
  token.rstrip = json.boolean("rstrip").value_or(false);
  token.normalized = json.boolean("normalized").value_or(!token.special);
  return token;
}

TokenizerConfig read_tokenizer_config(const std::filesystem::path& folder) {
  TokenizerConfig config;
  const auto path = folder / "tokenizer_config.json";
  if (const auto json = read_if_there(path)) {
    const JsonObject object(*json, path.string());
    config.tokenizer_class = object.string("tokenizer_class").value_or("");
    config.add_bos_token = object.boolean("add_bos_token");
    config.add_eos_token = object.boolean("add_eos_token");
    config.add_prefix_space = object.boolean("add_prefix_space");
    config.legacy = object.boolean("legacy").value_or(false);
    read_named_tokens(object, config);
    read_added_tokens_decoder(object, config);
  }
  const auto map_path = folder / "special_tokens_map.json";
  if (const auto json = read_if_there(map_path)) {
    read_named_tokens(JsonObject(*json, map_path.string()), config);
  }
  const auto added_path = folder / "added_tokens.json";
  if (config.added_tokens.empty()) {
    if (const auto json = read_if_there(added_path)) {
      read_added_tokens_json(JsonObject(*json, added_path.string()), config);
    }
  }
  const auto model_path = folder / "config.json";
  if (const auto json = read_if_there(model_path)) {
    const JsonObject object(*json, model_path.string());
    config.vocab_size = object.integer("vocab_size", 1, kMaxId + 1);
    if (config.tokenizer_class.empty()) {
      config.tokenizer_class = class_of_model_type(object.string("model_type").value_or(""));
    }
  }
  if (config.tokenizer_class.ends_with("Fast")) {
    config.tokenizer_class.resize(config.tokenizer_class.size() - 4);
  }
  return config;
}

}  // namespace quern
