#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "tokenizer/pretokenize/regex.h"

namespace quern {

/// GPT-2's pattern, which ByteLevel pre-tokenizers use by themselves. Source: encoder.py of GPT-2.
inline constexpr const char* kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
/// The pattern of Qwen, Qwen2 and Qwen3. Source: tokenization_qwen.py.
inline constexpr const char* kQwenPattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|)"
    R"(\s*[\r\n]+|\s+(?!\S)|\s+)";

/// Splits text into words that are encoded independently, in one or several steps: every step
/// splits the words of the step before. Immutable once built: threads may share
/// it.
class PreTokenizer {
 public:
  /// Which parts of a split are kept.
  enum class Keep { all, matches, gaps };

  void add_split(Regex regex, Keep keep);
  /// A space in front of every piece that does not begin with one.
  void add_prefix_space();

  using Sink = std::function<void(std::string_view piece)>;
  /// Hands the pieces of `text`, well-formed UTF-8, to `sink` in order. Errors: as Regex::split.
  void split(std::string_view text, const Sink& sink) const { run(0, text, sink); }

 private:
  struct Split {
    Regex regex;
    Keep keep;
  };
  struct PrefixSpace {};

  void run(std::size_t step, std::string_view piece, const Sink& sink) const;

  std::vector<std::variant<Split, PrefixSpace>> steps_;
};

}  // namespace quern
