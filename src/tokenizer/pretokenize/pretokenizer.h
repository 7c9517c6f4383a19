#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tokenizer/pretokenize/pattern.h"

namespace quern {

/// Splits text into pieces that are encoded independently: one entry of "pre_tokenizer" in
/// tokenizer.json. Immutable: threads may share it.
class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  PreTokenizer(const PreTokenizer&) = delete;
  PreTokenizer& operator=(const PreTokenizer&) = delete;

  /// Takes a piece; `at_start`: the prompt begins with it.
  using Sink = std::function<void(std::string_view piece, bool at_start)>;
  /// Hands the pieces of `text`, well-formed UTF-8, to `sink` in order; no piece is empty.
  virtual void split(std::string_view text, bool at_start, MatchBudget& budget,
                     const Sink& sink) const = 0;

 protected:
  PreTokenizer() = default;
};

/// In several steps: each splits the pieces of the step before.
using PreTokenizerList = std::vector<std::unique_ptr<PreTokenizer>>;
void split(const PreTokenizerList& list, std::string_view text, bool at_start, MatchBudget& budget,
           const PreTokenizer::Sink& sink);

/// What happens to the matches of a pattern.
enum class SplitBehavior : std::uint8_t {
  removed,
  isolated,
  merged_with_previous,
  merged_with_next,
  contiguous,
};

/// Split, and with other patterns Digits, Punctuation, Whitespace and WhitespaceSplit.
class SplitPreTokenizer final : public PreTokenizer {
 public:
  /// `invert`: what lies between matches counts as the matches.
  SplitPreTokenizer(std::unique_ptr<Pattern> pattern, SplitBehavior behavior, bool invert)
      : pattern_(std::move(pattern)), behavior_(behavior), invert_(invert) {}
  void split(std::string_view text, bool at_start, MatchBudget& budget,
             const Sink& sink) const override;

 private:
  std::unique_ptr<Pattern> pattern_;
  SplitBehavior behavior_;
  bool invert_;
};

/// ByteLevel: a space in front if asked for, GPT-2's pattern if asked for, then bytes as GPT-2's
/// symbols.
class ByteLevelPreTokenizer final : public PreTokenizer {
 public:
  /// `as_bytes`: the pieces stay text, for a model that reads their bytes.
  ByteLevelPreTokenizer(bool add_prefix_space, bool use_regex, bool as_bytes);
  void split(std::string_view text, bool at_start, MatchBudget& budget,
             const Sink& sink) const override;

 private:
  bool add_prefix_space_;
  bool as_bytes_;
  std::unique_ptr<Pattern> pattern_;
};

/// Spaces become a visible character, with one in front of the text.
class MetaspacePreTokenizer final : public PreTokenizer {
 public:
  enum class Prepend : std::uint8_t { always, first, never };
  MetaspacePreTokenizer(std::string replacement, Prepend prepend, bool split)
      : replacement_(std::move(replacement)), prepend_(prepend), split_(split) {}
  void split(std::string_view text, bool at_start, MatchBudget& budget,
             const Sink& sink) const override;

 private:
  std::string replacement_;
  Prepend prepend_;
  bool split_;
};

}  // namespace quern
