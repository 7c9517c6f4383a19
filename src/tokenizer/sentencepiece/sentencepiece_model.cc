#include "tokenizer/sentencepiece/sentencepiece_model.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "tokenizer/config/special_tokens.h"
#include "tokenizer/models/split_rules.h"
#include "tokenizer/models/unigram_model.h"
#include "tokenizer/sentencepiece/sentencepiece_file.h"
#include "tokenizer/sentencepiece/sentencepiece_normalizer.h"
#include "tokenizer/tokenizer_file.h"

namespace quern {
namespace {

using PieceKind = SentencePieceFile::Kind;

/// The piece of an id, if the file has one there.
std::optional<std::string> piece_of(const SentencePieceFile& model, std::int32_t id) {
  if (id < 0 || static_cast<std::size_t>(id) >= model.pieces.size()) return std::nullopt;
  return model.pieces[static_cast<std::size_t>(id)].text;
}

/// SentencePiece joins the neighbours whose piece has the highest score, of equals the leftmost.
std::unique_ptr<TokenModel> make_bpe(const SentencePieceFile& model, const std::string& file) {
  std::vector<float> scores;
  for (const auto& piece : model.pieces) {
    if (piece.kind == PieceKind::normal) scores.push_back(piece.score);
  }
  std::sort(scores.begin(), scores.end(), std::greater<>());
  scores.erase(std::unique(scores.begin(), scores.end()), scores.end());
  std::vector<Vocabulary::Entry> entries;
  std::vector<RankedToken> normal;
  std::string unk_token;
  for (const auto& piece : model.pieces) {
    const auto id = static_cast<std::int32_t>(entries.size());
    entries.emplace_back(piece.text, id);
    if (piece.kind == PieceKind::unknown) unk_token = piece.text;
    if (piece.kind != PieceKind::normal) continue;
    const auto rank = std::lower_bound(scores.begin(), scores.end(), piece.score, std::greater<>());
    normal.push_back({piece.text, id, static_cast<std::int32_t>(rank - scores.begin())});
  }
  BpeModel::Options options;
  options.fuse_unk = true;
  options.byte_fallback = model.byte_fallback;
  options.unk_token = unk_token;
  return std::make_unique<BpeModel>(Vocabulary(std::move(entries), file),
                                    rules_of_splits(normal, true), std::move(options));
}

std::unique_ptr<TokenModel> make_unigram(const SentencePieceFile& model, const std::string& file) {
  std::vector<UnigramModel::Piece> pieces;
  UnigramModel::Options options;
  options.byte_fallback = model.byte_fallback;
  options.single_precision = true;
  for (const auto& piece : model.pieces) {
    if (piece.kind == PieceKind::unknown) options.unk_id = static_cast<std::int32_t>(pieces.size());
    pieces.push_back({piece.text, piece.score, piece.kind == PieceKind::normal});
  }
  return std::make_unique<UnigramModel>(pieces, options, file);
}

/// Control and user-defined pieces are added tokens; only the first are special.
std::vector<AddedToken> added_pieces(const SentencePieceFile& model) {
  std::vector<AddedToken> tokens;
  for (std::size_t id = 0; id < model.pieces.size(); ++id) {
    const auto& piece = model.pieces[id];
    if (piece.kind != PieceKind::control && piece.kind != PieceKind::user_defined) continue;
    AddedToken token;
    token.content = piece.text;
    token.id = static_cast<std::int32_t>(id);
    token.special = piece.kind == PieceKind::control;
    tokens.push_back(std::move(token));
  }
  return tokens;
}

/// A text that begins with a visible space gets another one: what SentencePiece itself does, and
/// transformers' classes but LLaMA's.
class DoubleFirstSpace final : public Normalizer {
 public:
  void normalize(NormalizedText& text) const override {
    constexpr std::string_view kVisibleSpace = "\u2581";
    if (text.text.starts_with(kVisibleSpace)) text.text.insert(0, kVisibleSpace);
  }
};

}  // namespace

TokenizerParts load_sentencepiece(const std::filesystem::path& path,
                                  const TokenizerConfig& config) {
  const SentencePieceFile model =
      parse_sentencepiece_file(read_tokenizer_file(path), path.string());
  const bool is_llama = config.rebuilt_class == TokenizerClass::llama;
  TokenizerParts parts;
  parts.normalizers.push_back(std::make_unique<SentencePieceNormalizer>(model, path.string()));
  const bool shrinks = !model.charsmap.empty() || model.remove_extra_whitespaces;
  parts.max_shrinkage = shrinks ? 0 : 1;
  TokenizerConfig prefix = config;
  // Other classes than LLaMA's put the prefix in front of all texts between added tokens.
  prefix.legacy = config.legacy.value_or(!is_llama);
  if (!is_llama && *prefix.legacy && model.add_dummy_prefix) {
    parts.normalizers.push_back(std::make_unique<DoubleFirstSpace>());
  }
  if (!config.add_prefix_space || !is_llama) prefix.add_prefix_space = model.add_dummy_prefix;
  if (model.whitespace_as_suffix) prefix.add_prefix_space = false;
  build_llama_pipeline(prefix, parts);
  parts.model = model.model == SentencePieceFile::Model::bpe ? make_bpe(model, path.string())
                                                             : make_unigram(model, path.string());
  SpecialTokens special;
  special.file = path.string();
  special.tokens_of_file = added_pieces(model);
  special.bos = piece_of(model, model.bos_id);
  special.eos = piece_of(model, model.eos_id);
  special.unk = piece_of(model, model.unk_id);
  TokenizerConfig tokens = config;
  if (!is_llama && model.add_dummy_prefix) {
    // These classes look for them in the text as written, so that what follows has its prefix.
    for (AddedToken& token : tokens.added_tokens) token.normalized = false;
  }
  apply_config(tokens, special, TokenizerClass::none, parts);
  parts.description = fmt::format("SentencePiece ({})", path.filename().string());
  return parts;
}

}  // namespace quern
