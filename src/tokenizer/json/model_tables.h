#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "io/json/json.h"
#include "tokenizer/models/bpe_model.h"
#include "tokenizer/vocabulary.h"

namespace quern {

/// The two long tables of a BPE tokenizer, as the files write them.
struct ModelTables {
  std::vector<Vocabulary::Entry> vocab;
  BpeModel::Merges merges;  ///< in order of rank
};

/// Parses tokenizer.json and takes "model.vocab", if it is an object, and "model.merges" out of the
/// document. Errors: bad_file naming file and key.
Json parse_tokenizer_json(std::string_view text, const std::string& file, ModelTables& tables);

/// vocab.json. Errors: not_found, bad_file naming file and key.
std::vector<Vocabulary::Entry> read_vocab_json(const std::filesystem::path& path);

/// merges.txt. Empty lines and lines that begin with "#version" are left out. Errors: not_found;
/// bad_file naming file and line.
BpeModel::Merges read_merges_txt(const std::filesystem::path& path);

}  // namespace quern
