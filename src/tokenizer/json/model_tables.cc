#include "tokenizer/json/model_tables.h"

#include <limits>

#include "base/error.h"
#include "base/text/utf8.h"
#include "tokenizer/tokenizer_file.h"

namespace quern {
namespace {

/// "a b" as ("a", "b"), or nothing when it is not two words.
std::optional<std::pair<std::string, std::string>> parse_merge(std::string_view text) {
  const std::size_t space = text.find(' ');
  if (space == text.npos || text.find(' ', space + 1) != text.npos) return std::nullopt;
  return std::pair(std::string(text.substr(0, space)), std::string(text.substr(space + 1)));
}

/// Takes the members of one JSON object as tokens and ids while it is parsed.
class VocabReader {
 public:
  VocabReader(std::vector<Vocabulary::Entry>& vocab, std::string where)
      : vocab_(vocab), where_(std::move(where)) {}

  /// To be called for every event inside the object. Errors: bad_file for a value that is no id.
  void take(Json::parse_event_t event, Json& parsed) {
    if (event == Json::parse_event_t::key) {
      token_ = std::move(parsed.get_ref<std::string&>());
      return;
    }
    constexpr std::uint64_t kMaxId = std::numeric_limits<std::int32_t>::max() - 1;
    if (event != Json::parse_event_t::value || !parsed.is_number_unsigned() ||
        parsed.get<std::uint64_t>() > kMaxId) {
      fail(ErrorCode::bad_file, "{}: token {}: expected an id from 0 to {}, got {}", where_,
           quoted_name(token_), kMaxId,
           event == Json::parse_event_t::value ? parsed.dump() : "a list or an object");
    }
    vocab_.emplace_back(std::move(token_), static_cast<std::int32_t>(parsed.get<std::uint64_t>()));
  }

 private:
  std::vector<Vocabulary::Entry>& vocab_;
  std::string where_;
  std::string token_;
};

/// Takes model.vocab and model.merges out of the document while it is parsed.
class TableFilter {
 public:
  TableFilter(ModelTables& tables, const std::string& file)
      : tables_(tables), file_(file), vocab_(tables.vocab, file + ": key 'model.vocab'") {}

  bool operator()(int depth, Json::parse_event_t event, Json& parsed) {
    if (depth < kTableDepth) {
      if (event == Json::parse_event_t::key) enter(depth, parsed.get_ref<const std::string&>());
      // A vocabulary that is a list is Unigram's; it stays in the document.
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
    if (text.starts_with("#version")) return false;
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

  ModelTables& tables_;
  const std::string& file_;
  VocabReader vocab_;
  bool in_model_ = false;
  Table table_ = Table::none;
  std::vector<std::string> pair_;
};

}  // namespace

Json parse_tokenizer_json(std::string_view text, const std::string& file, ModelTables& tables) {
  return parse_json(text, file, TableFilter(tables, file));
}

std::vector<Vocabulary::Entry> read_vocab_json(const std::filesystem::path& path) {
  std::vector<Vocabulary::Entry> vocab;
  VocabReader reader(vocab, path.string());
  const Json rest = parse_json(read_tokenizer_file(path), path.string(),
                               [&](int depth, Json::parse_event_t event, Json& parsed) {
                                 if (depth == 0) return true;
                                 reader.take(event, parsed);
                                 return false;
                               });
  const JsonObject must_be_object(rest, path.string());
  return vocab;
}

BpeModel::Merges read_merges_txt(const std::filesystem::path& path) {
  const std::string text = read_tokenizer_file(path);
  BpeModel::Merges merges;
  for_each_line(text, [&](std::size_t number, std::string_view line) {
    if (invalid_utf8_at(line)) {
      fail(ErrorCode::bad_file, "{}: line {}: expected UTF-8, got {}", path.string(), number,
           quoted_name(line));
    }
    if (line.empty() || line.starts_with("#version")) return;
    auto merge = parse_merge(line);
    if (!merge) {
      fail(ErrorCode::bad_file, "{}: line {}: expected two tokens with a space between, got {}",
           path.string(), number, quoted_name(line));
    }
    merges.push_back(*std::move(merge));
  });
  return merges;
}

}  // namespace quern
