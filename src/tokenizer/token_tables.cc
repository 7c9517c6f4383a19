#include "tokenizer/token_tables.h"

#include <limits>

#include "base/error.h"
#include "base/utf8.h"
#include "tokenizer/tokenizer_file.h"

namespace quern {
VocabReader::VocabReader(std::vector<Vocabulary::Entry>& vocab, std::string where)
    : vocab_(vocab), where_(std::move(where)) {}

void VocabReader::take(Json::parse_event_t event, Json& parsed) {
  if (event == Json::parse_event_t::key) {
    token_ = std::move(parsed.get_ref<std::string&>());
    return;
  }
  constexpr std::uint64_t kMaxId = std::numeric_limits<std::int32_t>::max() - 1;
  if (event != Json::parse_event_t::value || !parsed.is_number_unsigned() ||
      parsed.get<std::uint64_t>() > kMaxId) {
    fail(ErrorCode::bad_file, "{}: token {}: expected an id from 0 to {}, got {}", where_,
         quoted_name(token_), kMaxId,
         event == Json::parse_event_t::value ? parsed.dump() : std::string("a list or an object"));
  }
  vocab_.emplace_back(std::move(token_), static_cast<std::int32_t>(parsed.get<std::uint64_t>()));
}

std::optional<std::pair<std::string, std::string>> parse_merge(std::string_view text) {
  const std::size_t space = text.find(' ');
  if (space == 0 || space >= text.size() - 1 || text.find(' ', space + 1) != text.npos) {
    return std::nullopt;
  }
  return std::pair(std::string(text.substr(0, space)), std::string(text.substr(space + 1)));
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

std::vector<std::pair<std::string, std::string>> read_merges_txt(
    const std::filesystem::path& path) {
  const std::string text = read_tokenizer_file(path);
  std::vector<std::pair<std::string, std::string>> merges;
  for_each_line(text, [&](std::size_t number, std::string_view line) {
    if (number == 1 && line.starts_with("#version")) return;
    auto merge = parse_merge(line);
    if (!merge || invalid_utf8_at(line)) {
      fail(ErrorCode::bad_file, "{}: line {}: expected two tokens with a space between, got {}",
           path.string(), number, quoted_name(line));
    }
    merges.push_back(*std::move(merge));
  });
  return merges;
}

VocabularyAndBpe build_bpe(TokenTables tables, std::vector<std::int32_t> other_ids,
                           const std::string& vocab_where, const std::string& merges_where) {
  Vocabulary vocabulary(std::move(tables.vocab), std::move(other_ids), vocab_where);
  Bpe bpe(tables.merges.size(), byte_ids(vocabulary, vocab_where));
  std::int32_t rank = 0;
  for (const auto& merge : tables.merges) {
    const std::string& left = merge.first;
    const std::string& right = merge.second;
    const auto refuse = [&](const std::string& reason) {
      fail(ErrorCode::bad_file, "{}: merge {} ({}): {}", merges_where, rank,
           quoted_name(fmt::format("{} {}", left, right)), reason);
    };
    const auto id_of = [&](const std::string& token) {
      const auto id = vocabulary.find(token);
      if (!id) refuse(fmt::format("{} is not in the vocabulary", quoted_name(token)));
      return *id;
    };
    if (!bpe.add({id_of(left), id_of(right), id_of(left + right), rank})) {
      refuse("it is there twice");
    }
    ++rank;
  }
  return {std::move(vocabulary), std::move(bpe)};
}

}  // namespace quern
