#include "tokenizer/config/special_tokens.h"

#include <map>
#include <utility>

#include "base/error.h"
#include "tokenizer/models/bpe_model.h"

namespace quern {
namespace {

bool are_equal(const AddedToken& a, const AddedToken& b) {
  return a.content == b.content && a.special == b.special && a.single_word == b.single_word &&
         a.lstrip == b.lstrip && a.rstrip == b.rstrip && a.normalized == b.normalized;
}

/// Adds a folder's tokens as TokenizersBackend.__init__ of transformers 5 does.
class TokenAdder {
 public:
  TokenAdder(const TokenizerConfig& config, const SpecialTokens& special, TokenizerClass built_by,
             const TokenModel& model)
      : config_(config), special_(special), built_by_(built_by), table_(model) {}

  void run() {
    if (built_by_ == TokenizerClass::none) {
      for (const AddedToken& token : special_.tokens_of_file) table_.add(token, special_.file);
    }
    collect_listed();
    const auto is_named = named_contents();
    for (const auto& [id, token] : listed_) {
      const AddedToken* present = table_.find(token.content);
      if (present == nullptr || !are_equal(*present, token)) queue(token);
    }
    for (const NamedToken& token : config_.named_tokens) queue_special(token);
    for (const auto& [key, content] : default_tokens()) queue_special({key, content, {}, {}});
    for (const NamedToken& token : config_.extra_tokens) queue_special(token);
    for (AddedToken& token : queued_) {
      token.special = token.special || is_named.count(token.content) > 0;
      table_.add(std::move(token), special_.file);
    }
  }

  /// The id of the token that a file, or else the class, names for a purpose.
  std::optional<std::int32_t> id_named(const std::string& key) const {
    const auto content = content_named(key);
    const AddedToken* token = content ? table_.find(*content) : nullptr;
    return token == nullptr ? std::nullopt : std::optional(token->id);
  }

  std::vector<AddedToken> tokens() const { return table_.tokens(); }

 private:
  using KeysAndContents = std::vector<std::pair<std::string, std::string>>;

  /// The class's own special tokens, but those that a file names or sets to null.
  KeysAndContents default_tokens() const {
    KeysAndContents defaults;
    const auto add = [&](const char* key, const std::optional<std::string>& content) {
      if (content && config_.null_tokens.count(key) == 0 && !config_.find_named(key)) {
        defaults.emplace_back(key, *content);
      }
    };
    constexpr const char* kEndOfText = "<|endoftext|>";
    switch (built_by_) {
      case TokenizerClass::gpt2:
        add("unk_token", kEndOfText);
        add("bos_token", kEndOfText);
        add("eos_token", kEndOfText);
        break;
      case TokenizerClass::qwen2:
        add("unk_token", kEndOfText);
        add("eos_token", kEndOfText);
        add("pad_token", kEndOfText);
        break;
      case TokenizerClass::llama:
        add("unk_token", "<unk>");
        add("bos_token", "<s>");
        add("eos_token", "</s>");
        break;
      case TokenizerClass::none:
        add("bos_token", special_.bos);
        add("eos_token", special_.eos);
        add("unk_token", special_.unk);
        break;
    }
    return defaults;
  }

  std::optional<std::string> content_named(const std::string& key) const {
    if (const NamedToken* token = config_.find_named(key)) return token->content;
    for (const auto& [name, content] : default_tokens()) {
      if (name == key) return content;
    }
    return std::nullopt;
  }

  std::map<std::string, bool> named_contents() const {
    std::map<std::string, bool> contents;
    for (const NamedToken& token : config_.named_tokens) contents[token.content] = true;
    for (const auto& [key, content] : default_tokens()) contents[content] = true;
    return contents;
  }

  /// added_tokens_decoder, else added_tokens.json and what the file itself lists, by id.
  void collect_listed() {
    for (const AddedToken& token : config_.added_tokens) listed_[token.id] = token;
    if (config_.has_added_tokens_decoder) return;
    for (const AddedToken& token : special_.tokens_of_file) listed_[token.id] = token;
  }

  void queue(AddedToken token) {
    queued_contents_[token.content] = true;
    queued_.push_back(std::move(token));
  }

  void queue_special(const NamedToken& named) {
    if (table_.find(named.content) != nullptr || queued_contents_.count(named.content) > 0) return;
    if (named.flags) return queue(*named.flags);
    AddedToken token;
    token.content = named.content;
    token.special = true;
    queue(std::move(token));
  }

  const TokenizerConfig& config_;
  const SpecialTokens& special_;
  TokenizerClass built_by_;
  AddedTokenTable table_;
  std::map<std::int32_t, AddedToken> listed_;
  std::vector<AddedToken> queued_;
  std::map<std::string, bool> queued_contents_;
};

}  // namespace

void apply_config(const TokenizerConfig& config, const SpecialTokens& special,
                  TokenizerClass built_by, TokenizerParts& parts) {
  TokenAdder adder(config, special, built_by, *parts.model);
  adder.run();
  parts.added_tokens = adder.tokens();
  parts.bos_id = adder.id_named("bos_token");
  const auto eos_id = adder.id_named("eos_token");
  if (eos_id) parts.eos_ids = {*eos_id};
  // It would corrupt the text of BPE, so that transformers 5 asks for a second key there.
  const bool is_bpe = dynamic_cast<const BpeModel*>(parts.model.get()) != nullptr;
  parts.cleans_up_spaces =
      config.clean_up_tokenization_spaces && (!is_bpe || config.clean_up_even_for_bpe);

  // With a tokenizer.json its post-processor alone counts: transformers 5 drops add_bos_token and
  // add_eos_token then.
  const bool wants_bos = !special.file_is_json && config.add_bos_token.value_or(false);
  const bool wants_eos = !special.file_is_json && config.add_eos_token.value_or(false);
  if (wants_bos && parts.bos_id) parts.prefix_ids = {*parts.bos_id};
  if (wants_eos && eos_id) parts.suffix_ids = {*eos_id};
  if (!parts.bos_id && !config.null_tokens.count("bos_token") && !parts.prefix_ids.empty()) {
    parts.bos_id = parts.prefix_ids.front();
  }
}

}  // namespace quern
