#include "tokenizer/bpe/tokenizer_json.h"

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "io/json.h"
#include "tokenizer/bpe/byte_level_bpe.h"
#include "tokenizer/bpe/byte_level_class.h"
#include "tokenizer/config/special_tokens.h"
#include "tokenizer/pretokenize/pipeline.h"
#include "tokenizer/token_tables.h"
#include "tokenizer/tokenizer_file.h"

namespace quern {
namespace {

/// Takes model.vocab and model.merges out of the document while it is parsed.
class TableFilter {
 public:
  TableFilter(TokenTables& tables, const std::string& file)
      : tables_(tables), file_(file), vocab_(tables.vocab, file + ": key 'model.vocab'") {}

  bool operator()(int depth, Json::parse_event_t event, Json& parsed) {
    if (depth < kTableDepth) {
      if (event == Json::parse_event_t::key) enter(depth, parsed.get_ref<const std::string&>());
      // A vocabulary that is a list belongs to another kind of model.
      if (event == Json::parse_event_t::array_start && table_ == Table::vocab) table_ = Table::none;
      return true;
    }
    if (table_ == Table::vocab) {
      vocab_.take(event, parsed);
      return false;
    }
    if (table_ == Table::merges) return take_merge(depth - kTableDepth, event, parsed);
    return true;
  }

 private:
  enum class Table { none, vocab, merges };
  static constexpr int kTableDepth = 3;  // of what is inside {"model": {"vocab": {…}}}

  void enter(int depth, const std::string& key) {
    if (depth == 1) in_model_ = key == "model";
    table_ = !in_model_ || depth == 1 ? Table::none
             : key == "vocab"         ? Table::vocab
             : key == "merges"        ? Table::merges
                                      : Table::none;
  }

  /// A merge is "a b" or ["a", "b"].
  bool take_merge(int depth, Json::parse_event_t event, Json& parsed) {
    using Event = Json::parse_event_t;
    if (depth == 0 && event == Event::array_start) {
      pair_.clear();
      return true;
    }
    if (depth == 0 && event == Event::array_end) {
      if (pair_.size() != 2) refuse_merge();
      tables_.merges.emplace_back(std::move(pair_[0]), std::move(pair_[1]));
      return false;
    }
    if (event != Event::value || !parsed.is_string()) refuse_merge();
    auto& text = parsed.get_ref<std::string&>();
    if (depth == 1) {
      pair_.push_back(std::move(text));
      return false;
    }
    auto merge = parse_merge(text);
    if (!merge) refuse_merge();
    tables_.merges.push_back(*std::move(merge));
    return false;
  }

  [[noreturn]] void refuse_merge() const {
    fail(ErrorCode::bad_file,
         "{}: key 'model.merges': merge {}: expected \"a b\" or [\"a\", \"b\"]", file_,
         tables_.merges.size());
  }

  TokenTables& tables_;
  const std::string& file_;
  VocabReader vocab_;
  bool in_model_ = false;
  Table table_ = Table::none;
  std::vector<std::string> pair_;
};

/// Refuses settings of the model that would change its ids.
void check_model(const JsonObject& model) {
  const auto refuse = [&](std::string_view key) {
    fail(ErrorCode::unsupported, "{}: key 'model.{}': {} is not supported by byte-level BPE",
         model.file(), key, quoted_name(model.find(key)->dump()));
  };
  // GPT-2's official file has no type.
  if (model.string("type").value_or("BPE") != "BPE") refuse("type");
  if (model.boolean("byte_fallback").value_or(false)) refuse("byte_fallback");
  if (model.number("dropout", 0.0, 1.0).value_or(0.0) != 0.0) refuse("dropout");
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (!model.string(key).value_or("").empty()) refuse(key);
  }
}

std::vector<AddedToken> read_added_tokens(const JsonObject& root) {
  std::vector<AddedToken> tokens;
  const Json* list = root.find("added_tokens");
  if (list == nullptr) return tokens;
  if (!list->is_array()) root.reject("added_tokens", "a list");
  for (std::size_t i = 0; i < list->size(); ++i) {
    const JsonObject entry((*list)[i], root.file(), fmt::format("added_tokens[{}].", i));
    AddedToken token = read_added_token(entry);
    token.id = static_cast<std::int32_t>(
        entry.required_integer("id", 0, std::numeric_limits<std::int32_t>::max() - 1));
    tokens.push_back(std::move(token));
  }
  return tokens;
}

void check_template(const TokenizerParts& parts, const std::string& file) {
  const std::vector<std::int32_t> added_ids = ids_of(parts.added_tokens);
  for (const auto* ids : {&parts.prefix_ids, &parts.suffix_ids}) {
    for (const std::int32_t id : *ids) {
      if (id < parts.model->size()) continue;
      if (std::find(added_ids.begin(), added_ids.end(), id) == added_ids.end()) {
        fail(ErrorCode::bad_file, "{}: key 'post_processor': no token has id {}", file, id);
      }
    }
  }
}

}  // namespace

TokenizerParts load_tokenizer_json(const std::filesystem::path& path,
                                   const TokenizerConfig& config) {
  const std::string file = path.string();
  TokenTables tables;
  const Json json = parse_json(read_tokenizer_file(path), file, TableFilter(tables, file));
  const JsonObject root(json, file);
  const auto model = root.object("model");
  if (!model) root.reject("model", "an object");
  check_model(*model);
  check_decoder(root);
  const bool nfc = read_normalizer(root);
  PreTokenizer pretokenizer = read_pretokenizer(root);
  Template post_processor = read_post_processor(root);

  TokenizerParts parts;
  parts.added_tokens = read_added_tokens(root);
  auto [vocabulary, bpe] = build_bpe(std::move(tables), ids_of(parts.added_tokens),
                                     fmt::format("{}: key 'model.vocab'", file),
                                     fmt::format("{}: key 'model.merges'", file));
  parts.model = std::make_unique<ByteLevelBpe>(
      std::move(vocabulary), std::move(bpe), std::move(pretokenizer),
      ByteLevelBpe::Options{.nfc = nfc,
                            .ignore_merges = model->boolean("ignore_merges").value_or(false)});
  parts.prefix_ids = std::move(post_processor.prefix_ids);
  parts.suffix_ids = std::move(post_processor.suffix_ids);
  check_template(parts, file);
  parts.description = "byte-level BPE (tokenizer.json)";
  apply_config(config, default_tokens(config.tokenizer_class), file, parts);
  return parts;
}

}  // namespace quern
