#include "tokenizer/config/special_tokens.h"

#include <map>
#include <utility>

#include "base/error.h"

namespace quern {
namespace {

/// Collects added tokens and refuses contradictions.
class AddedTokenTable {
 public:
  explicit AddedTokenTable(const TokenModel& model) : model_(model) {}

  /// The same token again replaces its flags. `file` is what errors name.
  void add(AddedToken token, const std::string& file) {
    check(token, file);
    const auto [place, is_new] = index_.emplace(token.content, tokens_.size());
    if (is_new) {
      contents_.emplace(token.id, token.content);
      tokens_.push_back(std::move(token));
    } else {
      tokens_[place->second] = std::move(token);
    }
  }

  /// The id of a token that is here or in the vocabulary; makes it special if it is not here yet.
  std::optional<std::int32_t> make_special(const std::string& content) {
    if (const auto it = index_.find(content); it != index_.end()) return tokens_[it->second].id;
    const auto id = model_.find(content);
    if (id) {
      AddedToken token;
      token.content = content;
      token.id = *id;
      token.special = true;
      add(std::move(token), {});  // it is from the vocabulary, so it fits
    }
    return id;
  }

  std::vector<AddedToken> take() { return std::move(tokens_); }

 private:
  void check(const AddedToken& token, const std::string& file) const {
    const auto refuse = [&](const std::string& reason) {
      fail(ErrorCode::bad_file, "{}: added token {} with id {}: {}", file,
           quoted_name(token.content), token.id, reason);
    };
    if (const auto it = index_.find(token.content); it != index_.end()) {
      const std::int32_t other = tokens_[it->second].id;
      if (other != token.id) refuse(fmt::format("it also has id {}", other));
      return;
    }
    if (const auto it = contents_.find(token.id); it != contents_.end()) {
      refuse(fmt::format("the added token {} has the same id", quoted_name(it->second)));
    }
    const auto id = model_.find(token.content);
    if (id && *id != token.id) refuse(fmt::format("in the vocabulary it has id {}", *id));
    if (!id && token.id < model_.size() && !model_.token_bytes(token.id).empty()) {
      refuse("the vocabulary has another token there");
    }
  }

  const TokenModel& model_;
  std::vector<AddedToken> tokens_;
  std::map<std::string, std::size_t, std::less<>> index_;
  std::map<std::int32_t, std::string> contents_;
};

/// The id of the token that a file names, else of the default one if it is a token.
std::optional<std::int32_t> resolve(const std::optional<NamedToken>& named, bool is_named,
                                    const std::optional<std::string>& fallback,
                                    AddedTokenTable& table) {
  if (!is_named) return fallback ? table.make_special(*fallback) : std::nullopt;
  if (!named) return std::nullopt;
  const auto id = table.make_special(named->content);
  if (!id) {
    fail(ErrorCode::bad_file, "{}: {} is not in the vocabulary", named->where,
         quoted_name(named->content));
  }
  return id;
}

}  // namespace

void apply_config(const TokenizerConfig& config, const DefaultTokens& defaults,
                  const std::string& file, TokenizerParts& parts) {
  AddedTokenTable table(*parts.model);
  for (AddedToken& token : parts.added_tokens) table.add(std::move(token), file);
  for (const AddedToken& token : config.added_tokens) table.add(token, config.added_tokens_file);
  parts.bos_id = resolve(config.bos_token, config.has_bos_token, defaults.bos, table);
  const auto eos = resolve(config.eos_token, config.has_eos_token, defaults.eos, table);
  if (eos) parts.eos_ids = {*eos};
  for (const auto* others : {&config.other_special_tokens, &defaults.others}) {
    for (const std::string& content : *others) table.make_special(content);
  }
  parts.added_tokens = table.take();

  const auto need = [&](const std::optional<std::int32_t>& id, const char* wish, const char* key) {
    if (!id) {
      fail(ErrorCode::bad_file, "{}: tokenizer_config.json's '{}' is true, but no '{}' is named",
           file, wish, key);
    }
    return *id;
  };
  if (config.add_bos_token) {
    parts.prefix_ids.clear();
    if (*config.add_bos_token) {
      parts.prefix_ids = {need(parts.bos_id, "add_bos_token", "bos_token")};
    }
  } else if (defaults.add_bos && parts.bos_id) {
    parts.prefix_ids = {*parts.bos_id};
  }
  if (config.add_eos_token) {
    parts.suffix_ids.clear();
    if (*config.add_eos_token) parts.suffix_ids = {need(eos, "add_eos_token", "eos_token")};
  }
  if (!parts.bos_id && !config.has_bos_token && !parts.prefix_ids.empty()) {
    parts.bos_id = parts.prefix_ids.front();
  }
}

}  // namespace quern
