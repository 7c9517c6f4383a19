#include "tokenizer/models/bpe_model.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "io/json/json.h"
#include "tokenizer/models/byte_level.h"
#include "tokenizer/models/word_cache.h"
#include "tokenizer/unicode/code_points.h"

namespace quern {
namespace {

constexpr std::string_view kVisibleSpace = "\u2581";

/// The last byte of a symbol and the first of one, where U+2581 counts as a byte of its own: it
/// stands for the space, and words shall not hang together because other characters begin as it.
std::size_t last_byte(std::string_view symbol) {
  return symbol.ends_with(kVisibleSpace) ? 0xFF : static_cast<unsigned char>(symbol.back());
}
std::size_t first_byte(std::string_view symbol) {
  return symbol.starts_with(kVisibleSpace) ? 0xFF : static_cast<unsigned char>(symbol.front());
}

}  // namespace

BpeModel::BpeModel(Vocabulary vocabulary, const Merges& merges, Options options,
                   const std::string& merges_where)
    : vocabulary_(std::move(vocabulary)), options_(std::move(options)), rules_(merges.size()) {
  prepare();
  const std::size_t prefix_bytes = options_.continuing_subword_prefix.size();
  for (std::size_t rank = 0; rank < merges.size(); ++rank) {
    const auto& [left, right] = merges[rank];
    const auto id_of = [&](const std::string& token) {
      const auto id = vocabulary_.find(token);
      if (!id) {
        fail(ErrorCode::bad_file, "{}: merge {} ({}): {} is not in the vocabulary", merges_where,
             rank, quoted_name(fmt::format("{} {}", merges[rank].first, merges[rank].second)),
             quoted_name(token));
      }
      return *id;
    };
    const std::int32_t left_id = id_of(left);
    const std::int32_t right_id = id_of(right);
    const bool has_prefix =
        prefix_bytes > 0 && right.starts_with(options_.continuing_subword_prefix);
    const std::string_view rest = std::string_view(right).substr(has_prefix ? prefix_bytes : 0);
    rules_.set(
        {left_id, right_id, id_of(left + std::string(rest)), static_cast<std::int32_t>(rank)});
    if (junctions_ != nullptr) note_junction(left, right);
  }
}

BpeModel::BpeModel(Vocabulary vocabulary, MergeRules rules, Options options)
    : vocabulary_(std::move(vocabulary)), options_(std::move(options)), rules_(std::move(rules)) {
  prepare();
  // The rules' own texts are not known here: all tokens' insides are taken for junctions.
  for (std::int32_t id = 0; junctions_ != nullptr && id < vocabulary_.size(); ++id) {
    const std::string_view token = vocabulary_.token(id);
    for (std::size_t at = 1; at < token.size(); ++at) {
      if ((static_cast<unsigned char>(token[at]) & 0xC0u) == 0x80u) continue;
      note_junction(token.substr(0, at), token.substr(at));
    }
  }
}

void BpeModel::prepare() {
  for (std::size_t byte = 0; byte < byte_ids_.size(); ++byte) {
    std::string symbol(1, static_cast<char>(byte));
    if (options_.byte_level) symbol = symbols_from_bytes(symbol);
    byte_ids_[byte] =
        options_.byte_level || byte < 0x80 ? vocabulary_.find(symbol).value_or(-1) : -1;
    fallback_ids_[byte] = vocabulary_.find(fmt::format("<0x{:02X}>", byte)).value_or(-1);
  }
  if (options_.unk_token) unk_id_ = vocabulary_.find(*options_.unk_token);
  for (std::int32_t id = 0; id < vocabulary_.size(); ++id) {
    max_token_bytes_ = std::max(max_token_bytes_, vocabulary_.token(id).size());
  }
  const bool plain =
      options_.continuing_subword_prefix.empty() && options_.end_of_word_suffix.empty();
  if (!options_.byte_level && !options_.ignore_merges && plain) {
    junctions_ = std::make_unique<std::bitset<65536>>();
  }
}

void BpeModel::note_junction(std::string_view left, std::string_view right) {
  if (!left.empty() && !right.empty()) junctions_->set(last_byte(left) << 8 | first_byte(right));
}

class BpeModel::BpeEncoder final : public Encoder {
 public:
  BpeEncoder(const BpeModel& model, std::size_t text_bytes) : model_(model), cache_(text_bytes) {}

  void encode(std::string_view piece, std::vector<std::int32_t>& ids) override {
    if (model_.junctions_ == nullptr) return encode_word(piece, ids);
    // Words whose ends no rule joins are encoded one by one.
    std::size_t begin = 0;
    for (std::size_t at = 1; at < piece.size(); ++at) {
      if (!may_cut(piece, at)) continue;
      encode_word(piece.substr(begin, at - begin), ids);
      begin = at;
    }
    encode_word(piece.substr(begin), ids);
  }

 private:
  /// In front of a space, behind an ASCII character that has a token (so that no unknown text is
  /// left to be fused).
  bool may_cut(std::string_view piece, std::size_t at) const {
    const char next = piece[at];
    if (next != ' ' && next != kVisibleSpace.front()) return false;
    const auto before = static_cast<unsigned char>(piece[at - 1]);
    if (before >= 0x80 || model_.byte_ids_[before] < 0) return false;
    const std::string_view rest = piece.substr(at, kVisibleSpace.size());
    if (next != ' ' && rest != kVisibleSpace) return false;
    return !model_.junctions_->test(std::size_t{before} << 8 | first_byte(rest));
  }

  void encode_word(std::string_view word, std::vector<std::int32_t>& ids) {
    WordCache::Entry* entry = cache_.place_of(word);
    if (entry != nullptr && entry->holds(word)) return entry->append_to(ids);
    const std::size_t before = ids.size();
    merge_word(word, ids);
    if (entry != nullptr) entry->assign(word, ids, before);
  }

  void merge_word(std::string_view word, std::vector<std::int32_t>& ids) {
    if (model_.options_.ignore_merges) {
      const auto id = model_.options_.byte_level ? model_.vocabulary_.find(symbols_from_bytes(word))
                                                 : model_.vocabulary_.find(word);
      if (id) return ids.push_back(*id);
    }
    std::size_t at = 0;
    std::int32_t unknown = 0;  // how many unknown tokens wait
    merge_symbols(
        model_.rules_,
        [&](std::vector<std::int32_t>& symbols, std::size_t size) {
          while (at < word.size() && symbols.size() < size) {
            if (model_.options_.byte_level) {
              add_byte(word[at++], unknown, symbols);
            } else {
              const std::size_t length = code_point_at(word, at).length_bytes;
              add_character(word, at, length, unknown, symbols);
              at += length;
            }
          }
          if (at == word.size()) flush(unknown, symbols);
        },
        scratch_, ids);
  }

  void add_byte(char byte, std::int32_t& unknown, std::vector<std::int32_t>& symbols) const {
    const std::int32_t id = model_.byte_ids_[static_cast<unsigned char>(byte)];
    if (id >= 0) {
      flush(unknown, symbols);
      symbols.push_back(id);
    } else if (!add_fallback(symbols_from_bytes(std::string_view(&byte, 1)), symbols)) {
      add_unknown(unknown, symbols);
    }
  }

  void add_character(std::string_view word, std::size_t at, std::size_t length,
                     std::int32_t& unknown, std::vector<std::int32_t>& symbols) {
    const std::string_view character = word.substr(at, length);
    const Options& options = model_.options_;
    const bool has_affix = (at > 0 && !options.continuing_subword_prefix.empty()) ||
                           (at + length == word.size() && !options.end_of_word_suffix.empty());
    std::int32_t id = -1;
    if (has_affix) {
      affixed_.clear();
      if (at > 0) affixed_ += options.continuing_subword_prefix;
      affixed_ += character;
      if (at + length == word.size()) affixed_ += options.end_of_word_suffix;
      id = model_.vocabulary_.find(affixed_).value_or(-1);
    } else {
      id = length == 1 ? model_.byte_ids_[static_cast<unsigned char>(character.front())]
                       : model_.vocabulary_.find(character).value_or(-1);
    }
    if (id >= 0) {
      flush(unknown, symbols);
      symbols.push_back(id);
    } else if (!add_fallback(has_affix ? std::string_view(affixed_) : character, symbols)) {
      add_unknown(unknown, symbols);
    }
  }

  /// The tokens of the bytes, if all of them have one. Unknown text that waits keeps waiting, as
  /// in Hugging Face's.
  bool add_fallback(std::string_view bytes, std::vector<std::int32_t>& symbols) const {
    if (!model_.options_.byte_fallback) return false;
    const auto id_of = [&](char byte) {
      return model_.fallback_ids_[static_cast<unsigned char>(byte)];
    };
    if (std::any_of(bytes.begin(), bytes.end(), [&](char byte) { return id_of(byte) < 0; })) {
      return false;
    }
    for (const char byte : bytes) symbols.push_back(id_of(byte));
    return true;
  }

  void add_unknown(std::int32_t& unknown, std::vector<std::int32_t>& symbols) const {
    if (!model_.options_.unk_token) return;  // such text is left out
    if (!model_.unk_id_) {
      fail(ErrorCode::invalid_argument,
           "the text has a character without a token, and the unknown token {} is not in the "
           "vocabulary either",
           quoted_name(*model_.options_.unk_token));
    }
    if (unknown > 0 && model_.options_.fuse_unk) return;
    flush(unknown, symbols);
    unknown = 1;
  }

  void flush(std::int32_t& unknown, std::vector<std::int32_t>& symbols) const {
    if (unknown > 0) symbols.push_back(*model_.unk_id_);
    unknown = 0;
  }

  const BpeModel& model_;
  WordCache cache_;
  MergeScratch scratch_;
  std::string affixed_;
};

std::unique_ptr<TokenModel::Encoder> BpeModel::make_encoder(std::size_t text_bytes) const {
  return std::make_unique<BpeEncoder>(*this, text_bytes);
}

}  // namespace quern
