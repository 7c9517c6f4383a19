#include "tokenizer/json/tokenizer_json.h"

#include <limits>
#include <utility>

#include "base/error.h"
#include "io/json/json.h"
#include "tokenizer/config/special_tokens.h"
#include "tokenizer/config/tokenizer_class.h"
#include "tokenizer/json/component.h"
#include "tokenizer/json/model_tables.h"
#include "tokenizer/json/read_decoders.h"
#include "tokenizer/json/read_normalizers.h"
#include "tokenizer/json/read_pretokenizers.h"
#include "tokenizer/models/unigram_model.h"
#include "tokenizer/models/word_level_model.h"
#include "tokenizer/tokenizer_file.h"

namespace quern {
namespace {

constexpr std::int64_t kMaxTokenId = std::numeric_limits<std::int32_t>::max() - 1;

std::vector<AddedToken> read_added_tokens(const JsonObject& root) {
  std::vector<AddedToken> tokens;
  const Json* list = root.find("added_tokens");
  if (list == nullptr) return tokens;
  if (!list->is_array()) root.reject("added_tokens", "a list");
  for (std::size_t i = 0; i < list->size(); ++i) {
    const JsonObject entry((*list)[i], root.file(), fmt::format("added_tokens[{}].", i));
    AddedToken token = read_added_token(entry);
    token.id = static_cast<std::int32_t>(entry.required_integer("id", 0, kMaxTokenId));
    tokens.push_back(std::move(token));
  }
  return tokens;
}

/// GPT-2's official file has no type; Unigram's vocabulary is a list.
std::string model_type(const JsonObject& model, const ModelTables& tables) {
  if (const auto type = model.string("type")) return *type;
  const Json* vocab = model.find("vocab");
  if (vocab != nullptr && vocab->is_array()) return "Unigram";
  return tables.merges.empty() && !model.has("merges") ? "WordLevel" : "BPE";
}

BpeModel::Options read_bpe_options(const JsonObject& model) {
  if (model.number("dropout", 0.0, 1.0).value_or(0.0) != 0.0) {
    refuse_component(model, "model.dropout", model.find("dropout")->dump(),
                     "null or 0 (with dropout the same text has other ids each time)");
  }
  BpeModel::Options options;
  options.ignore_merges = model.boolean("ignore_merges").value_or(false);
  options.byte_fallback = model.boolean("byte_fallback").value_or(false);
  options.fuse_unk = model.boolean("fuse_unk").value_or(false);
  options.unk_token = model.string("unk_token");
  options.continuing_subword_prefix = model.string("continuing_subword_prefix").value_or("");
  options.end_of_word_suffix = model.string("end_of_word_suffix").value_or("");
  return options;
}

std::unique_ptr<TokenModel> read_unigram(const JsonObject& model) {
  const Json* vocab = model.find("vocab");
  if (vocab == nullptr || !vocab->is_array()) model.reject("vocab", "a list");
  std::vector<UnigramModel::Piece> pieces;
  pieces.reserve(vocab->size());
  for (const Json& entry : *vocab) {
    if (!entry.is_array() || entry.size() != 2 || !entry[0].is_string() || !entry[1].is_number()) {
      model.reject("vocab", "tokens and scores");
    }
    pieces.push_back({entry[0].get<std::string>(), entry[1].get<double>(), true});
  }
  UnigramModel::Options options;
  if (const auto id = model.integer("unk_id", 0, kMaxTokenId)) {
    options.unk_id = static_cast<std::int32_t>(*id);
  }
  options.byte_fallback = model.boolean("byte_fallback").value_or(false);
  return std::make_unique<UnigramModel>(pieces, options, model.file() + ": key 'model.vocab'");
}

/// LLaMA's class rebuilds the model from the vocabulary, whatever kind it is.
void list_vocabulary(const JsonObject& model, ModelTables& tables) {
  const Json* vocab = model.find("vocab");
  if (vocab == nullptr || !vocab->is_array()) return;
  for (const Json& entry : *vocab) {
    const Json& token = entry.is_array() && !entry.empty() ? entry[0] : entry;
    if (!token.is_string()) model.reject("vocab", "tokens");
    tables.vocab.emplace_back(token.get<std::string>(),
                              static_cast<std::int32_t>(tables.vocab.size()));
  }
}

void check_template(const TokenizerParts& parts, const std::string& file) {
  for (const auto* ids : {&parts.prefix_ids, &parts.suffix_ids}) {
    for (const std::int32_t id : *ids) {
      bool is_known = id < parts.model->size();
      for (const AddedToken& token : parts.added_tokens) is_known = is_known || token.id == id;
      if (!is_known) {
        fail(ErrorCode::bad_file, "{}: key 'post_processor': no token has id {}", file, id);
      }
    }
  }
}

}  // namespace

TokenizerParts load_tokenizer_json(const std::filesystem::path& path,
                                   const TokenizerConfig& config) {
  const std::string file = path.string();
  ModelTables tables;
  const std::string text = read_tokenizer_file(path);
  const Json json = parse_tokenizer_json(text, file, tables);
  const JsonObject root(json, file);
  const auto model = root.object("model");
  if (!model) root.reject("model", "an object");
  const std::string type = model_type(*model, tables);
  const std::string vocab_where = file + ": key 'model.vocab'";

  TokenizerParts parts;
  TokenizerClass rebuilt = config.rebuilt_class;
  const bool is_byte_level = text.find("\"ByteLevel\"") != std::string::npos;
  if (rebuilt == TokenizerClass::llama && is_byte_level) rebuilt = TokenizerClass::none;
  if (rebuilt != TokenizerClass::none) {
    list_vocabulary(*model, tables);
    build_class(rebuilt, config, Vocabulary(std::move(tables.vocab), vocab_where), tables.merges,
                file + ": key 'model.merges'", parts);
  } else {
    read_normalizers(root, parts);
    const bool is_bpe = type == "BPE";
    BpeModel::Options options;
    if (is_bpe) options = read_bpe_options(*model);
    // The symbols of bytes are characters like others where something is done to characters.
    const bool may_be_bytes = is_bpe && !options.byte_fallback &&
                              options.continuing_subword_prefix.empty() &&
                              options.end_of_word_suffix.empty();
    options.byte_level = read_pretokenizers(root, may_be_bytes, parts);
    read_decoders(root, parts);
    if (is_bpe) {
      parts.model = std::make_unique<BpeModel>(Vocabulary(std::move(tables.vocab), vocab_where),
                                               tables.merges, std::move(options),
                                               file + ": key 'model.merges'");
    } else if (type == "Unigram") {
      parts.model = read_unigram(*model);
    } else if (type == "WordLevel") {
      parts.model =
          std::make_unique<WordLevelModel>(Vocabulary(std::move(tables.vocab), vocab_where),
                                           model->string("unk_token").value_or("<unk>"));
    } else {
      refuse_component(*model, "model.type", type, "BPE, Unigram or WordLevel");
    }
  }
  SpecialTokens special;
  special.file = file;
  special.tokens_of_file = read_added_tokens(root);
  special.file_has_post_processor = read_post_processor(root, parts);
  special.file_is_json = true;
  apply_config(config, special, rebuilt, parts);
  check_template(parts, file);
  parts.description =
      fmt::format("{}{} (tokenizer.json)", is_byte_level ? "byte-level " : "", type);
  return parts;
}

}  // namespace quern
