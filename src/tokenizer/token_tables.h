#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "io/json.h"
#include "tokenizer/bpe/byte_level_bpe.h"
#include "tokenizer/vocabulary.h"

namespace quern {

/// The two long tables of a BPE tokenizer, as the files write them.
struct TokenTables {
  std::vector<Vocabulary::Entry> vocab;
  std::vector<std::pair<std::string, std::string>> merges;  ///< in order of rank
};

/// Takes the members of one JSON object as tokens and ids while it is parsed.
class VocabReader {
 public:
  VocabReader(std::vector<Vocabulary::Entry>& vocab, std::string where);
  /// To be called for every event inside the object. Errors: bad_file for a value that is no id.
  void take(Json::parse_event_t event, Json& parsed);

 private:
  std::vector<Vocabulary::Entry>& vocab_;
  std::string where_;
  std::string token_;
};

/// "a b" as ("a", "b"), or nothing when it is not two words.
std::optional<std::pair<std::string, std::string>> parse_merge(std::string_view text);

/// vocab.json. Errors: not_found, bad_file naming file and key.
std::vector<Vocabulary::Entry> read_vocab_json(const std::filesystem::path& path);

/// merges.txt; a first line "#version…" is left out. Errors: not_found, bad_file naming file and
/// line.
std::vector<std::pair<std::string, std::string>> read_merges_txt(const std::filesystem::path& path);

/// Merging by the table's order. `num_added` is the number of tokens that may have ids of their
/// own; `vocab_where` and `merges_where` name the tables in errors. Errors: bad_file for a merge
/// whose parts or result are no tokens, or that is there twice; as Vocabulary and byte_ids.
struct VocabularyAndBpe {
  Vocabulary vocabulary;
  Bpe bpe;
};
VocabularyAndBpe build_bpe(TokenTables tables, std::vector<std::int32_t> other_ids,
                           const std::string& vocab_where, const std::string& merges_where);

}  // namespace quern
