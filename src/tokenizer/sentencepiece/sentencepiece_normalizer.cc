#include "tokenizer/sentencepiece/sentencepiece_normalizer.h"

#include <fmt/format.h>

#include <algorithm>

#include "tokenizer/unicode/code_points.h"

namespace quern {

SentencePieceNormalizer::SentencePieceNormalizer(const SentencePieceFile& model,
                                                 const std::string& file)
    : remove_extra_whitespaces_(model.remove_extra_whitespaces),
      escape_whitespaces_(model.escape_whitespaces),
      dummy_suffix_(model.whitespace_as_suffix && model.add_dummy_prefix) {
  if (!model.charsmap.empty()) {
    charsmap_.emplace(model.charsmap,
                      fmt::format("{}: normalizer_spec.precompiled_charsmap", file));
  }
}

void SentencePieceNormalizer::normalize(NormalizedText& text) const {
  const std::string_view from = text.text;
  const std::string_view space = escape_whitespaces_ ? "\u2581" : " ";
  std::string out;
  out.reserve(from.size() + from.size() / 4);
  bool after_space = remove_extra_whitespaces_;
  const auto take = [&](std::string_view part) {
    for (const char c : part) {
      if (c != ' ') {
        out += c;
      } else if (!after_space) {
        out += space;
      }
      after_space = remove_extra_whitespaces_ && c == ' ';
    }
  };
  for (std::size_t at = 0; at < from.size();) {
    if (charsmap_) {
      const Charsmap::Match match = charsmap_->find(from.substr(at), true);
      if (match.length_bytes > 0) {
        take(match.replacement);
        at += match.length_bytes;
        continue;
      }
    }
    const std::size_t length = code_point_at(from, at).length_bytes;
    take(from.substr(at, length));
    at += length;
  }
  while (remove_extra_whitespaces_ && out.ends_with(space)) out.erase(out.size() - space.size());
  if (dummy_suffix_ && !out.empty()) out += space;
  text.text = std::move(out);
}

void SpaceNormalizer::normalize(NormalizedText& text) const {
  std::string_view from = text.text;
  if (remove_extra_whitespaces_) {
    if (from.starts_with(' ')) text.keeps_start = false;
    from.remove_prefix(std::min(from.find_first_not_of(' '), from.size()));
    from = from.substr(0, from.find_last_not_of(' ') + 1);
  }
  std::string out;
  out.reserve(from.size() + from.size() / 4);
  for (std::size_t at = 0; at < from.size(); ++at) {
    if (from[at] != ' ') {
      out += from[at];
    } else if (!remove_extra_whitespaces_ || from[at - 1] != ' ') {
      out += escape_whitespaces_ ? "\u2581" : " ";
    }
  }
  text.text = std::move(out);
}

}  // namespace quern
