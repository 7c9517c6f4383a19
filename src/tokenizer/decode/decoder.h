#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tokenizer/pretokenize/pattern.h"

namespace quern {

/// Rewrites the tokens of a text, whose join is the text: one entry of "decoder" in tokenizer.json.
/// Immutable: threads may share it.
class Decoder {
 public:
  virtual ~Decoder() = default;
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  virtual void decode(std::vector<std::string>& tokens) const = 0;

  /// What becomes of one token does not depend on the others.
  virtual bool is_per_token() const { return true; }

 protected:
  Decoder() = default;
};

using DecoderList = std::vector<std::unique_ptr<Decoder>>;

/// GPT-2's symbols become bytes; a token with another character is taken as it is. What is not
/// UTF-8 is left for the caller to replace.
class ByteLevelDecoder final : public Decoder {
 public:
  void decode(std::vector<std::string>& tokens) const override;
};

/// Tokens "<0x00>" to "<0xFF>" become bytes. Of a run of them that is not UTF-8 each becomes
/// U+FFFD.
class ByteFallbackDecoder final : public Decoder {
 public:
  void decode(std::vector<std::string>& tokens) const override;
  bool is_per_token() const override { return false; }
  /// The byte of such a token, or -1.
  static int byte_of(const std::string& token);
};

/// All tokens become one.
class FuseDecoder final : public Decoder {
 public:
  void decode(std::vector<std::string>& tokens) const override;
  bool is_per_token() const override { return false; }
};

/// Removes a character from the start and the end of each token, so many times at most.
class StripDecoder final : public Decoder {
 public:
  StripDecoder(std::string character, std::size_t start, std::size_t stop)
      : character_(std::move(character)), start_(start), stop_(stop) {}
  void decode(std::vector<std::string>& tokens) const override;
  const std::string& character() const { return character_; }
  std::size_t start() const { return start_; }
  std::size_t stop() const { return stop_; }

 private:
  std::string character_;
  std::size_t start_;
  std::size_t stop_;
};

class ReplaceDecoder final : public Decoder {
 public:
  ReplaceDecoder(std::unique_ptr<Pattern> pattern, std::string content)
      : pattern_(std::move(pattern)), content_(std::move(content)) {}
  void decode(std::vector<std::string>& tokens) const override;

 private:
  std::unique_ptr<Pattern> pattern_;
  std::string content_;
};

/// The visible character becomes a space, but at the start of the text nothing.
class MetaspaceDecoder final : public Decoder {
 public:
  MetaspaceDecoder(std::string replacement, bool prepends)
      : replacement_(std::move(replacement)), prepends_(prepends) {}
  void decode(std::vector<std::string>& tokens) const override;
  bool is_per_token() const override { return !prepends_; }

 private:
  std::string replacement_;
  bool prepends_;
};

/// The suffix at a word's end becomes a space, at the text's end nothing.
class BpeDecoder final : public Decoder {
 public:
  explicit BpeDecoder(std::string suffix) : suffix_(std::move(suffix)) {}
  void decode(std::vector<std::string>& tokens) const override;
  bool is_per_token() const override { return false; }

 private:
  std::string suffix_;
};

/// Without a decoder: a space between tokens.
class SpacesDecoder final : public Decoder {
 public:
  void decode(std::vector<std::string>& tokens) const override;
  bool is_per_token() const override { return false; }
};

}  // namespace quern
