#include "tokenizer/models/unigram_model.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "io/json/json.h"
#include "tokenizer/unicode/code_points.h"

namespace quern {
namespace {

constexpr std::size_t kMaxPieceBytes = 4096;  // a text takes that much time for each of its bytes

Vocabulary make_vocabulary(const std::vector<UnigramModel::Piece>& pieces,
                           const std::string& where) {
  std::vector<Vocabulary::Entry> entries;
  entries.reserve(pieces.size());
  for (const auto& piece : pieces) {
    entries.emplace_back(piece.text, static_cast<std::int32_t>(entries.size()));
  }
  return Vocabulary(std::move(entries), where);
}

}  // namespace

UnigramModel::UnigramModel(const std::vector<Piece>& pieces, Options options,
                           const std::string& where)
    : vocabulary_(make_vocabulary(pieces, where)), options_(options) {
  if (pieces.empty()) fail(ErrorCode::bad_file, "{}: no tokens", where);
  const auto num_pieces = static_cast<std::int32_t>(pieces.size());
  if (options.unk_id && (*options.unk_id < 0 || *options.unk_id >= num_pieces)) {
    fail(ErrorCode::bad_file, "{}: the unknown token has id {}, expected 0 to {}", where,
         *options.unk_id, num_pieces - 1);
  }
  std::vector<StringTrie::Entry> entries;
  double lowest = std::numeric_limits<double>::max();
  for (std::int32_t id = 0; id < num_pieces; ++id) {
    const Piece& piece = pieces[static_cast<std::size_t>(id)];
    if (!std::isfinite(piece.score)) {
      fail(ErrorCode::bad_file, "{}: token {}: the score {} is not finite", where,
           quoted_name(piece.text), piece.score);
    }
    scores_.push_back(piece.score);
    if (!piece.is_used) continue;
    lowest = std::min(lowest, piece.score);
    // Of a token that is there twice the last one counts.
    if (piece.text.empty() || vocabulary_.find(piece.text) != id) continue;
    if (piece.text.size() > kMaxPieceBytes) {
      fail(ErrorCode::bad_file, "{}: token {} has {} bytes, expected at most {}", where,
           quoted_name(piece.text), piece.text.size(), kMaxPieceBytes);
    }
    entries.push_back({piece.text, id});
    max_token_bytes_ = std::max(max_token_bytes_, piece.text.size());
  }
  trie_ = StringTrie(std::move(entries));
  constexpr double kUnknownPenalty = 10;
  unknown_score_ = lowest - kUnknownPenalty;
  has_fallback_ = options_.byte_fallback;
  for (std::size_t byte = 0; byte < fallback_ids_.size(); ++byte) {
    fallback_ids_[byte] = vocabulary_.find(fmt::format("<0x{:02X}>", byte)).value_or(-1);
  }
}

class UnigramModel::UnigramEncoder final : public Encoder {
 public:
  explicit UnigramEncoder(const UnigramModel& model)
      : model_(model), ring_size_(model.max_token_bytes_ + 5) {}

  void encode(std::string_view piece, std::vector<std::int32_t>& ids) override {
    if (model_.options_.single_precision) {
      search<float>(piece);
    } else {
      search<double>(piece);
    }
    collect(piece, ids);
  }

 private:
  /// Finds the best way to each byte. Only how long its last token is gets kept for all bytes,
  /// scores for as many as a token is long.
  template <typename Score>
  void search(std::string_view text) {
    lengths_.assign(text.size() + 1, 0);
    std::vector<Score> best(ring_size_, 0);
    std::size_t at = 0;
    while (at < text.size()) {
      const Score here = best[at % ring_size_];
      const std::size_t character = code_point_at(text, at).length_bytes;
      bool has_character = false;
      const auto offer = [&](std::size_t length, double score) {
        const double candidate = score + here;
        Score& target = best[(at + length) % ring_size_];
        std::uint16_t& target_length = lengths_[at + length];
        if (target_length == 0 || candidate > static_cast<double>(target)) {
          target = static_cast<Score>(candidate);
          target_length = static_cast<std::uint16_t>(length);
        }
      };
      std::int32_t node = 0;
      for (std::size_t end = at; end < text.size();) {
        node = model_.trie_.child(node, static_cast<unsigned char>(text[end++]));
        if (node == StringTrie::kNone) break;
        const std::int32_t id = model_.trie_.value(node);
        if (id == StringTrie::kNone) continue;
        has_character = has_character || end - at == character;
        offer(end - at, model_.scores_[static_cast<std::size_t>(id)]);
      }
      if (!has_character) offer(character, model_.unknown_score_);
      at += character;
    }
  }

  void collect(std::string_view text, std::vector<std::int32_t>& ids) {
    // Back to front: first count, then fill in, unknown text that hangs together as one.
    const std::size_t first = ids.size();
    std::size_t unknown_end = 0;
    const auto flush = [&](std::size_t begin) {
      if (unknown_end == 0) return;
      add_unknown(text.substr(begin, unknown_end - begin), ids);
      unknown_end = 0;
    };
    for (std::size_t end = text.size(); end > 0;) {
      const std::size_t begin = end - lengths_[end];
      const auto id = model_.vocabulary_.find(text.substr(begin, end - begin));
      const bool is_known =
          id && is_in_trie(text.substr(begin, end - begin)) && id != model_.options_.unk_id;
      if (is_known) {
        flush(end);
        ids.push_back(*id);
      } else if (unknown_end == 0) {
        unknown_end = end;
      }
      end = begin;
    }
    flush(0);
    std::reverse(ids.begin() + static_cast<std::ptrdiff_t>(first), ids.end());
  }

  bool is_in_trie(std::string_view token) const {
    std::int32_t node = 0;
    for (const char byte : token) {
      node = model_.trie_.child(node, static_cast<unsigned char>(byte));
      if (node == StringTrie::kNone) return false;
    }
    return model_.trie_.value(node) != StringTrie::kNone;
  }

  /// In reverse, as collect() needs it.
  void add_unknown(std::string_view text, std::vector<std::int32_t>& ids) const {
    const auto id_of = [&](char byte) {
      return model_.fallback_ids_[static_cast<unsigned char>(byte)];
    };
    const bool falls_back =
        model_.has_fallback_ &&
        std::all_of(text.begin(), text.end(), [&](char byte) { return id_of(byte) >= 0; });
    if (falls_back) {
      for (auto byte = text.rbegin(); byte != text.rend(); ++byte) ids.push_back(id_of(*byte));
    } else if (model_.options_.unk_id) {
      ids.push_back(*model_.options_.unk_id);
    } else {
      fail(ErrorCode::invalid_argument,
           "the text has {}, which no token stands for, and there is no unknown token",
           quoted_name(text));
    }
  }

  const UnigramModel& model_;
  std::size_t ring_size_;
  std::vector<std::uint16_t> lengths_;
};

std::unique_ptr<TokenModel::Encoder> UnigramModel::make_encoder(std::size_t /*text_bytes*/) const {
  return std::make_unique<UnigramEncoder>(*this);
}

}  // namespace quern
