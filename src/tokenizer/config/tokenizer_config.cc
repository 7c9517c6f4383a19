#include "tokenizer/config/tokenizer_config.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <map>

#include "base/error.h"
#include "io/open_file.h"

namespace quern {
namespace {

constexpr std::int64_t kMaxConfigId = std::numeric_limits<std::int32_t>::max() - 1;
constexpr std::array<const char*, 7> kNamedKeys = {
    "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"};

/// The object in a file of the folder, if the file is there.
std::optional<Json> read_if_there(const std::filesystem::path& path) {
  if (!is_listed(path)) return std::nullopt;
  return std::make_optional<Json>(read_json(path));
}

/// A token written as a string or as {"content": …}; nothing for an empty one.
std::optional<NamedToken> named_token(const JsonObject& json, const std::string& key,
                                      const Json& value) {
  const std::string where = fmt::format("{}: key '{}'", json.file(), key);
  if (value.is_object()) {
    AddedToken token = read_added_token(JsonObject(value, json.file(), key + "."));
    if (token.content.empty()) return std::nullopt;
    std::string content = token.content;
    return NamedToken{key, std::move(content), std::move(token), where};
  }
  if (!value.is_string()) json.reject(key, "a token");
  auto content = value.get<std::string>();
  if (content.empty()) return std::nullopt;
  return NamedToken{key, std::move(content), std::nullopt, where};
}

void read_extra_tokens(const JsonObject& json, const std::string& key, TokenizerConfig& config) {
  const Json* tokens = json.find(key);
  if (tokens == nullptr) return;
  if (!tokens->is_array() && !tokens->is_object()) json.reject(key, "a list or an object");
  for (const Json& value : *tokens) {
    if (auto token = named_token(json, key, value)) config.extra_tokens.push_back(*token);
  }
}

/// Takes what tokenizer_config.json or special_tokens_map.json names. What the second says replaces
/// what the first said.
void read_named_tokens(const JsonObject& json, bool has_model_tokens, TokenizerConfig& config) {
  for (const char* key : kNamedKeys) {
    const auto value = json.json().find(key);
    if (value == json.json().end()) continue;
    std::erase_if(config.named_tokens, [&](const NamedToken& token) { return token.key == key; });
    config.null_tokens.insert(key);
    if (value->is_null()) continue;
    if (auto token = named_token(json, key, *value)) {
      config.null_tokens.erase(key);
      config.named_tokens.push_back(*std::move(token));
    }
  }
  const Json* extra = json.find("extra_special_tokens");
  const bool has_extra = extra != nullptr && !extra->empty();
  read_extra_tokens(json, has_extra ? "extra_special_tokens" : "additional_special_tokens", config);
  if (!has_model_tokens) return;
  // "image_token" and the like.
  for (const auto& [key, value] : json.json().items()) {
    const bool is_named = std::find(kNamedKeys.begin(), kNamedKeys.end(), key) != kNamedKeys.end();
    if (is_named || !key.ends_with("_token") || !value.is_string()) continue;
    if (auto token = named_token(json, key, value)) config.extra_tokens.push_back(*token);
  }
}

void read_added_tokens_decoder(const JsonObject& json, TokenizerConfig& config) {
  const auto decoder = json.object("added_tokens_decoder");
  if (!decoder) return;
  config.has_added_tokens_decoder = true;
  for (const auto& [key, value] : decoder->json().items()) {
    std::int32_t id = -1;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (error != std::errc() || end != key.data() + key.size() || id < 0 || id > kMaxConfigId) {
      fail(ErrorCode::bad_file, "{}: key 'added_tokens_decoder': expected ids as keys, got {}",
           json.file(), quoted_name(key));
    }
    AddedToken token = read_added_token(*decoder->object(key));
    token.id = id;
    config.added_tokens.push_back(std::move(token));
  }
  std::map<std::string, const AddedToken*> by_content;
  for (const AddedToken& token : config.added_tokens) by_content[token.content] = &token;
  for (NamedToken& token : config.named_tokens) {
    const auto it = by_content.find(token.content);
    if (it != by_content.end()) token.flags = *it->second;
  }
}

/// The old form: {"token": id}.
void read_added_tokens_json(const JsonObject& json, TokenizerConfig& config) {
  std::set<std::string> special;
  for (const auto* tokens : {&config.named_tokens, &config.extra_tokens}) {
    for (const NamedToken& token : *tokens) special.insert(token.content);
  }
  for (const auto& [content, value] : json.json().items()) {
    AddedToken token;
    token.content = content;
    token.id = static_cast<std::int32_t>(json.required_integer(content, 0, kMaxConfigId));
    token.special = special.count(content) > 0;
    token.normalized = !token.special;
    config.added_tokens.push_back(std::move(token));
  }
}

void drop_fast(std::string& name) {
  if (name.ends_with("Fast")) name.resize(name.size() - 4);
}

}  // namespace

const NamedToken* TokenizerConfig::find_named(const std::string& key) const {
  for (const NamedToken& token : named_tokens) {
    if (token.key == key) return &token;
  }
  return nullptr;
}

AddedToken read_added_token(const JsonObject& json) {
  AddedToken token;
  token.content = json.required_string("content");
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
    config.legacy = object.boolean("legacy");
    config.clean_up_tokenization_spaces =
        object.boolean("clean_up_tokenization_spaces").value_or(false);
    config.clean_up_even_for_bpe =
        object.boolean("clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output")
            .value_or(false);
    read_named_tokens(object, true, config);
    read_added_tokens_decoder(object, config);
  }
  // The older files count where added_tokens_decoder is not there.
  const auto map_path = folder / "special_tokens_map.json";
  const auto added_path = folder / "added_tokens.json";
  if (!config.has_added_tokens_decoder) {
    if (const auto json = read_if_there(map_path)) {
      read_named_tokens(JsonObject(*json, map_path.string()), false, config);
      for (NamedToken& token : config.named_tokens) {
        if (token.flags) token.flags->special = true;
      }
    }
    if (const auto json = read_if_there(added_path)) {
      read_added_tokens_json(JsonObject(*json, added_path.string()), config);
    }
  }
  const auto model_path = folder / "config.json";
  if (const auto json = read_if_there(model_path)) {
    const JsonObject object(*json, model_path.string());
    config.vocab_size = object.integer("vocab_size", 1, kMaxConfigId + 1);
    config.model_type = object.string("model_type").value_or("");
    if (config.tokenizer_class.empty()) {
      config.tokenizer_class = object.string("tokenizer_class").value_or("");
    }
  }
  drop_fast(config.tokenizer_class);
  config.rebuilt_class = rebuilt_class(config.tokenizer_class, config.model_type);
  return config;
}

}  // namespace quern
