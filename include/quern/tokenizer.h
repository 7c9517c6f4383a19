#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "quern/export.h"

namespace quern {

/// Bytes [begin, end) of a text.
struct TextRange {
  std::size_t begin = 0;
  std::size_t end = 0;
};

struct EncodeOptions {
  /// Parses special tokens in the text as their ids, as Hugging Face does; otherwise they are
  /// ordinary text.
  bool parse_special = true;
  /// Adds BOS: unset as the tokenizer's files say, which may also add an EOS; false adds neither.
  std::optional<bool> add_bos = std::nullopt;
  /// A text of more tokens is an error, found as early as its length or its first part shows it.
  std::optional<std::int64_t> max_tokens = std::nullopt;
  /// Ascending ranges of untrusted text, such as that of a chat's messages: a special token that
  /// touches one is ordinary text there. All else is encoded as without them.
  std::span<const TextRange> plain_ranges = {};
  /// Within plain_ranges an added token that this text contains counts as special, if it is more
  /// than white space: the control tokens of a chat template.
  std::string_view control_text = {};
};

/// Text to token ids and back, with the tokenizer files of a model folder. Immutable after loading,
/// hence thread-safe.
class QUERN_API Tokenizer {
 public:
  /// Loads what the folder has: tokenizer.json, qwen.tiktoken, tokenizer.model (SentencePiece or
  /// tiktoken), or vocab.json with merges.txt. Errors: not_found, bad_file, unsupported, naming the
  /// file.
  static std::unique_ptr<Tokenizer> load(const std::filesystem::path& folder);

  virtual ~Tokenizer();
  Tokenizer(const Tokenizer&) = delete;
  Tokenizer& operator=(const Tokenizer&) = delete;

  /// The ids of `text`. Errors: invalid_argument for text that is not UTF-8, naming the byte, for
  /// text of more than max_tokens, and for text that the tokenizer has no token for.
  virtual std::vector<std::int32_t> encode(std::string_view text,
                                           const EncodeOptions& options = {}) const = 0;

  /// The bytes that one id adds to a running text. Special tokens give their written form. An id
  /// that the tokenizer does not name gives nothing: models round their vocabularies up. Errors:
  /// invalid_argument for a negative id.
  virtual std::string token_bytes(std::int32_t id) const = 0;

  /// The text of the ids; each ill-formed subsequence of UTF-8 becomes one U+FFFD, as in Python.
  /// Errors: as token_bytes.
  virtual std::string decode(std::span<const std::int32_t> ids, bool skip_special) const = 0;

  /// True for a token that stands for one byte (byte fallback). If a run of them is not UTF-8, each
  /// becomes U+FFFD.
  virtual bool is_byte(std::int32_t /*id*/) const { return false; }

  /// True for control tokens that `skip_special` leaves out.
  virtual bool is_special(std::int32_t id) const = 0;

  /// The id of a token by its written form, special or not, if there is one.
  virtual std::optional<std::int32_t> token_to_id(std::string_view token) const = 0;

  /// One more than the largest id the tokenizer names.
  virtual std::int32_t vocab_size() const = 0;

  virtual std::optional<std::int32_t> bos_id() const = 0;
  /// The EOS ids of the tokenizer's own files, such as tokenizer_config.json's eos_token; the
  /// model's configs may name more, see ModelInfo::eos_token_ids.
  virtual std::vector<std::int32_t> eos_ids() const = 0;

  /// True when decode() drops one space at the very start of a text, as SentencePiece tokenizers
  /// do.
  virtual bool drops_leading_space() const { return false; }
  /// True when decode() removes spaces in front of punctuation and contractions
  /// (clean_up_tokenization_spaces).
  virtual bool cleans_up_spaces() const { return false; }

  /// Which files it was loaded from and what kind it is, for people: "byte-level BPE (vocab.json,
  /// merges.txt)".
  virtual std::string description() const = 0;

 protected:
  Tokenizer() = default;
};

}  // namespace quern
