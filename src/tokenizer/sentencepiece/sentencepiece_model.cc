#include "tokenizer/sentencepiece/sentencepiece_model.h"

#include <sentencepiece_processor.h>

#include <charconv>
#include <utility>

#include "base/check.h"
#include "tokenizer/config/special_tokens.h"
#include "tokenizer/sentencepiece/sentencepiece_file.h"
#include "tokenizer/tokenizer_file.h"

namespace sentencepiece::logging {

/// SentencePiece's own function and name. Not in the installed header of every version; weak, so
/// that a version without it links too.
[[gnu::weak]] void SetMinLogLevel(int level);  // NOLINT(readability-identifier-naming)

}  // namespace sentencepiece::logging

namespace quern {
namespace {

constexpr std::string_view kSpace = "\u2581";

/// A ModelProto that holds only normalizer_spec.add_dummy_prefix = false. Behind another one it
/// replaces that setting alone: Protocol Buffers merge a message that occurs twice.
constexpr std::string_view kNoDummyPrefix("\x1a\x02\x18\x00", 4);

using Processor = sentencepiece::SentencePieceProcessor;

/// The library's string view, which before version 0.1.97 was not the standard one.
absl::string_view library_view(std::string_view text) { return {text.data(), text.size()}; }

class SentencePieceModel final : public TokenModel {
 public:
  enum class Prefix { never, at_start, always };

  /// `changes_text`: as in SentencePieceFile.
  SentencePieceModel(std::unique_ptr<Processor> processor, Prefix prefix, bool changes_text)
      : processor_(std::move(processor)),
        prefix_(prefix),
        may_cut_(!changes_text && no_piece_spans_words(*processor_)) {}

  void encode(std::string_view text, bool at_start, std::vector<std::int32_t>& ids) const override {
    std::string prefixed;
    if (prefix_ == Prefix::always || (prefix_ == Prefix::at_start && at_start)) {
      prefixed = kSpace;
    }
    prefixed += text;
    for (std::string_view rest = prefixed; !rest.empty();) {
      const std::size_t size = may_cut_ ? first_cut(rest) : rest.size();
      std::vector<int> pieces;
      const auto status = processor_->Encode(library_view(rest.substr(0, size)), &pieces);
      QUERN_CHECK(status.ok(), "sentencepiece: {}", status.ToString());
      ids.insert(ids.end(), pieces.begin(), pieces.end());
      rest.remove_prefix(size);
    }
  }

  std::string token_bytes(std::int32_t id) const override {
    const std::string& piece = processor_->IdToPiece(id);
    if (processor_->IsByte(id)) return byte_of(piece);
    if (processor_->IsControl(id) || processor_->IsUnknown(id)) return piece;
    std::string bytes;
    std::size_t done = 0;
    for (std::size_t at = 0; (at = piece.find(kSpace, done)) != piece.npos;) {
      bytes.append(piece, done, at - done).append(" ");
      done = at + kSpace.size();
    }
    return bytes.append(piece, done);
  }

  std::optional<std::int32_t> find(std::string_view token) const override {
    // The unknown token's id for an unknown one.
    const int id = processor_->PieceToId(library_view(token));
    if (id < 0 || processor_->IdToPiece(id) != token) return std::nullopt;
    return id;
  }

  std::int32_t size() const override { return processor_->GetPieceSize(); }
  bool drops_leading_space() const override { return prefix_ != Prefix::never; }

 private:
  /// True when no piece has a space behind another character. Then text may be cut in front of the
  /// first space after a word without changing its pieces, and the library, which is slow on long
  /// texts, gets short ones.
  static bool no_piece_spans_words(const Processor& processor) {
    for (int id = 0; id < processor.GetPieceSize(); ++id) {
      std::string_view piece = processor.IdToPiece(id);
      while (piece.starts_with(kSpace)) piece.remove_prefix(kSpace.size());
      if (piece.find(kSpace) != piece.npos || piece.find(' ') != piece.npos) return false;
    }
    return true;
  }

  /// Where to cut off a text's first part: in front of a space that follows another ASCII
  /// character.
  static std::size_t first_cut(std::string_view text) {
    constexpr std::size_t kMinPartBytes = 1024;
    for (std::size_t at = kMinPartBytes; at < text.size(); ++at) {
      const auto before = static_cast<unsigned char>(text[at - 1]);
      if (text[at] == ' ' && before != ' ' && before < 0x80) return at;
    }
    return text.size();
  }

  /// "<0x0A>" is the piece of byte 10; the library has checked its form.
  static std::string byte_of(std::string_view piece) {
    unsigned value = 0;
    std::from_chars(piece.data() + 3, piece.data() + piece.size() - 1, value, 16);
    return std::string(1, static_cast<char>(value));
  }

  std::unique_ptr<Processor> processor_;
  Prefix prefix_;
  bool may_cut_;
};

/// Older versions print remarks about good files to standard error, which is not the core's to use.
/// What goes wrong comes back as a status all the same.
void silence_library() {
  constexpr int kFatalOnly = 3;
  if (&sentencepiece::logging::SetMinLogLevel != nullptr) {
    sentencepiece::logging::SetMinLogLevel(kFatalOnly);
  }
}

/// The piece of a control id; -1 says that there is none.
std::optional<std::string> piece_of(const Processor& processor, int id) {
  if (id < 0) return std::nullopt;
  return processor.IdToPiece(id);
}

}  // namespace

TokenizerParts load_sentencepiece(const std::filesystem::path& path,
                                  const TokenizerConfig& config) {
  std::string bytes = read_tokenizer_file(path);
  const SentencePieceFile file = check_sentencepiece_file(bytes, path.string());
  silence_library();
  auto processor = std::make_unique<Processor>();
  const auto status = processor->LoadFromSerializedProto(bytes.append(kNoDummyPrefix));
  if (!status.ok()) {
    fail(ErrorCode::bad_file, "{}: SentencePiece cannot load it: {}", path.string(),
         status.ToString());
  }
  DefaultTokens defaults;
  defaults.bos = piece_of(*processor, processor->bos_id());
  defaults.eos = piece_of(*processor, processor->eos_id());
  if (auto unknown = piece_of(*processor, processor->unk_id())) {
    defaults.others.push_back(*std::move(unknown));
  }
  defaults.add_bos = true;

  using Prefix = SentencePieceModel::Prefix;
  const bool has_prefix = config.add_prefix_space.value_or(file.add_dummy_prefix);
  const Prefix prefix = !has_prefix     ? Prefix::never
                        : config.legacy ? Prefix::always
                                        : Prefix::at_start;
  TokenizerParts parts;
  parts.model =
      std::make_unique<SentencePieceModel>(std::move(processor), prefix, file.changes_text);
  parts.description = fmt::format("SentencePiece ({})", path.filename().string());
  apply_config(config, defaults, path.string(), parts);
  return parts;
}

}  // namespace quern
