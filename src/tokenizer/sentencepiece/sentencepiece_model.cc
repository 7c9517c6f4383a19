#include "tokenizer/sentencepiece/sentencepiece_model.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "tokenizer/added/string_finder.h"
#include "tokenizer/config/special_tokens.h"
#include "tokenizer/models/split_rules.h"
#include "tokenizer/models/unigram_model.h"
#include "tokenizer/normalize/precompiled.h"
#include "tokenizer/sentencepiece/sentencepiece_file.h"
#include "tokenizer/sentencepiece/sentencepiece_normalizer.h"
#include "tokenizer/tokenizer_file.h"

namespace quern {
namespace {

using PieceKind = SentencePieceFile::Kind;
using Prepend = MetaspacePreTokenizer::Prepend;

constexpr std::string_view kVisibleSpace = "\u2581";

/// The piece of an id, if the file has one there.
std::optional<std::string> piece_of(const SentencePieceFile& model, std::int32_t id) {
  if (id < 0 || static_cast<std::size_t>(id) >= model.pieces.size()) return std::nullopt;
  return model.pieces[static_cast<std::size_t>(id)].text;
}

bool has_piece_of_kind(const SentencePieceFile& model, PieceKind kind) {
  return std::any_of(model.pieces.begin(), model.pieces.end(),
                     [&](const auto& piece) { return piece.kind == kind; });
}

Vocabulary vocabulary_of(const SentencePieceFile& model, const std::string& file) {
  std::vector<Vocabulary::Entry> entries;
  for (const auto& piece : model.pieces) {
    entries.emplace_back(piece.text, static_cast<std::int32_t>(entries.size()));
  }
  return {std::move(entries), file};
}

/// Neighbours whose piece has the highest score are joined, of equals that of the lowest id.
std::unique_ptr<TokenModel> make_bpe(const SentencePieceFile& model, const std::string& file) {
  std::vector<RankedToken> normal;
  BpeModel::Options options;
  for (std::size_t id = 0; id < model.pieces.size(); ++id) {
    const auto& piece = model.pieces[id];
    if (piece.kind == PieceKind::unknown) options.unk_token = piece.text;
    if (piece.kind == PieceKind::normal) {
      normal.push_back({piece.text, static_cast<std::int32_t>(id), 0});
    }
  }
  std::stable_sort(normal.begin(), normal.end(), [&](const RankedToken& a, const RankedToken& b) {
    return model.pieces[static_cast<std::size_t>(a.id)].score >
           model.pieces[static_cast<std::size_t>(b.id)].score;
  });
  options.fuse_unk = true;
  options.byte_fallback = model.byte_fallback;
  options.ignore_merges = has_piece_of_kind(model, PieceKind::user_defined);
  return std::make_unique<BpeModel>(vocabulary_of(model, file), ordered_rules_of_splits(normal),
                                    std::move(options));
}

/// `as_transformers`: every piece stands for its text, whatever its kind, and scores are added in
/// double precision; else both as in SentencePiece.
std::unique_ptr<TokenModel> make_unigram(const SentencePieceFile& model, bool as_transformers,
                                         const std::string& file) {
  std::vector<UnigramModel::Piece> pieces;
  UnigramModel::Options options;
  options.byte_fallback = model.byte_fallback;
  options.single_precision = !as_transformers;
  for (const auto& piece : model.pieces) {
    if (piece.kind == PieceKind::unknown) options.unk_id = static_cast<std::int32_t>(pieces.size());
    const bool is_text = piece.kind == PieceKind::normal || piece.kind == PieceKind::user_defined;
    pieces.push_back({piece.text, piece.score, as_transformers || is_text});
  }
  return std::make_unique<UnigramModel>(pieces, options, file);
}

std::vector<AddedToken> pieces_of_kind(const SentencePieceFile& model, PieceKind kind) {
  std::vector<AddedToken> tokens;
  for (std::size_t id = 0; id < model.pieces.size(); ++id) {
    const auto& piece = model.pieces[id];
    if (piece.kind != kind) continue;
    AddedToken token;
    token.content = piece.text;
    token.id = static_cast<std::int32_t>(id);
    token.special = kind == PieceKind::control;
    tokens.push_back(std::move(token));
  }
  return tokens;
}

/// The pieces that are never parts of others.
class UserDefinedPieces final : public Pattern {
 public:
  explicit UserDefinedPieces(const SentencePieceFile& model) {
    std::vector<StringFinder::Entry> entries;
    for (const auto& piece : pieces_of_kind(model, PieceKind::user_defined)) {
      entries.push_back({piece.content, piece.id});
    }
    finder_ = StringFinder(entries);
  }
  void find_matches(std::string_view text, MatchBudget& /*budget*/,
                    const OnMatch& on_match) const override {
    for (const auto& match : finder_.find_all(text)) {
      on_match(match.begin, match.begin + match.length);
    }
  }

 private:
  StringFinder finder_;
};

/// A text that begins with a visible space gets another one, as SentencePiece itself does.
class DoubleFirstSpace final : public Normalizer {
 public:
  void normalize(NormalizedText& text) const override {
    if (text.text.starts_with(kVisibleSpace)) text.text.insert(0, kVisibleSpace);
  }
};

/// As LlamaTokenizer of transformers 5: the pieces in the order of their ids, and nothing else of
/// the file; the class says the rest.
void build_as_llama(const SentencePieceFile& model, const TokenizerConfig& config,
                    const std::string& file, TokenizerParts& parts) {
  std::vector<RankedToken> tokens;
  for (const auto& piece : model.pieces) {
    tokens.push_back({piece.text, static_cast<std::int32_t>(tokens.size()), 0});
  }
  BpeModel::Options options;
  options.fuse_unk = true;
  options.byte_fallback = true;
  build_llama_pipeline(config, parts);
  parts.model = std::make_unique<BpeModel>(vocabulary_of(model, file),
                                           ordered_rules_of_splits(tokens), std::move(options));
}

/// As TokenizersBackend of transformers 5 for other classes, which obeys the file's normalizer.
/// `is_alone`: nothing says that transformers reads it, so that SentencePiece itself is followed
/// where they differ.
void build_by_file(const SentencePieceFile& model, const TokenizerConfig& config, bool is_alone,
                   const std::string& file, TokenizerParts& parts) {
  const bool has_suffix = is_alone && model.whitespace_as_suffix;
  const bool has_prefix = model.add_dummy_prefix && !has_suffix;
  const bool is_legacy = config.legacy.value_or(true);
  if (is_alone) {
    parts.normalizers.push_back(std::make_unique<SentencePieceNormalizer>(model, file));
  } else {
    if (!model.charsmap.empty()) {
      parts.normalizers.push_back(std::make_unique<PrecompiledNormalizer>(
          model.charsmap, file + ": normalizer_spec.precompiled_charsmap"));
    }
    parts.normalizers.push_back(std::make_unique<SpaceNormalizer>(model));
  }
  parts.max_shrinkage = !model.charsmap.empty() || model.remove_extra_whitespaces ? 0 : 1;
  if (has_prefix && is_legacy) parts.normalizers.push_back(std::make_unique<DoubleFirstSpace>());
  if (has_prefix) {
    parts.pre_tokenizers.push_back(std::make_unique<MetaspacePreTokenizer>(
        std::string(kVisibleSpace), is_legacy ? Prepend::always : Prepend::first, false));
  }
  if (has_piece_of_kind(model, PieceKind::user_defined)) {
    parts.pre_tokenizers.push_back(std::make_unique<SplitPreTokenizer>(
        std::make_unique<UserDefinedPieces>(model), SplitBehavior::isolated, false));
  }
  parts.decoders.push_back(std::make_unique<ReplaceDecoder>(
      std::make_unique<LiteralPattern>(std::string(kVisibleSpace)), " "));
  if (model.byte_fallback) parts.decoders.push_back(std::make_unique<ByteFallbackDecoder>());
  parts.decoders.push_back(std::make_unique<FuseDecoder>());
  if (has_prefix) parts.decoders.push_back(std::make_unique<StripDecoder>(" ", 1, 0));
  parts.model = model.model == SentencePieceFile::Model::bpe ? make_bpe(model, file)
                                                             : make_unigram(model, !is_alone, file);
}

}  // namespace

TokenizerParts load_sentencepiece(const std::filesystem::path& path,
                                  const TokenizerConfig& config) {
  const std::string file = path.string();
  const SentencePieceFile model = parse_sentencepiece_file(read_tokenizer_file(path), file);
  const bool is_llama = config.rebuilt_class == TokenizerClass::llama;
  const bool is_alone = config.tokenizer_class.empty() && config.model_type.empty();
  TokenizerConfig tokens = config;
  SpecialTokens special;
  special.file = file;
  special.tokens_of_file = pieces_of_kind(model, PieceKind::control);
  TokenizerParts parts;
  if (is_llama) {
    build_as_llama(model, config, file, parts);
    special.bos = "<s>";
    special.eos = "</s>";
    special.unk = "<unk>";
    for (AddedToken& piece : pieces_of_kind(model, PieceKind::user_defined)) {
      special.tokens_of_file.push_back(std::move(piece));
    }
  } else {
    build_by_file(model, config, is_alone, file, parts);
    special.bos = piece_of(model, model.bos_id);
    special.eos = piece_of(model, model.eos_id);
    special.unk = piece_of(model, model.unk_id);
    if (model.add_dummy_prefix) {
      // They are looked for in the text as written, so that what follows has its prefix.
      for (AddedToken& token : tokens.added_tokens) token.normalized = false;
    }
  }
  apply_config(tokens, special, TokenizerClass::none, parts);
  parts.description = fmt::format("SentencePiece ({})", path.filename().string());
  return parts;
}

}  // namespace quern
