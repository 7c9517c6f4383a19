#include "tokenizer/normalize/text_normalizers.h"

#include "tokenizer/unicode/code_points.h"
#include "tokenizer/unicode/unicode.h"

namespace quern {
namespace {

/// Rewrites the text character by character: `rewrite(code_point, out)` appends what it becomes.
template <typename Rewrite>
void rewrite_characters(NormalizedText& text, const Rewrite& rewrite) {
  std::string out;
  out.reserve(text.text.size());
  for_each_code_point(text.text, [&](char32_t c, std::size_t at, std::size_t) {
    rewrite(c, out);
    if (at == 0 && out.empty()) text.keeps_start = false;
  });
  text.text = std::move(out);
}

void lowercase(NormalizedText& text) {
  constexpr char32_t kCapitalIWithDot = 0x130;
  constexpr char32_t kDotAbove = 0x307;
  rewrite_characters(text, [](char32_t c, std::string& out) {
    append_utf8(lowercase_of(c), out);
    if (c == kCapitalIWithDot) append_utf8(kDotAbove, out);
  });
}

constexpr bool is_chinese(char32_t c) {
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) ||
         (c >= 0x20000 && c <= 0x2A6DF) || (c >= 0x2A700 && c <= 0x2B73F) ||
         (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) ||
         (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

bool is_bert_control(char32_t c) {
  if (c == '\t' || c == '\n' || c == '\r') return false;
  const Category category = category_of(c);
  return category >= Category::cc && category != Category::cn && is_in_unicode_8(c);
}

}  // namespace

void NormalFormNormalizer::normalize(NormalizedText& text) const {
  if (!is_ascii(text.text)) text.text = to_normal_form(text.text, form_, version_);
}

void LowercaseNormalizer::normalize(NormalizedText& text) const { lowercase(text); }

void StripNormalizer::normalize(NormalizedText& text) const {
  std::string& s = text.text;
  if (right_) {
    std::size_t end = s.size();
    while (end > 0) {
      const CodePoint c = code_point_before(s, end);
      if (!is_white_space(c.value)) break;
      end -= c.length_bytes;
    }
    s.resize(end);
  }
  if (left_) {
    std::size_t begin = 0;
    while (begin < s.size()) {
      const CodePoint c = code_point_at(s, begin);
      if (!is_white_space(c.value)) break;
      begin += c.length_bytes;
    }
    if (begin > 0) text.keeps_start = false;
    s.erase(0, begin);
  }
}

void StripAccentsNormalizer::normalize(NormalizedText& text) const {
  rewrite_characters(text, [](char32_t c, std::string& out) {
    if (!is_mark(c)) append_utf8(c, out);
  });
}

void PrependNormalizer::normalize(NormalizedText& text) const {
  if (!text.text.empty()) text.text.insert(0, prefix_);
}

void ReplaceNormalizer::normalize(NormalizedText& text) const {
  std::string out;
  out.reserve(text.text.size());
  std::size_t done = 0;
  MatchBudget own_budget(text.text.size());
  MatchBudget& budget = text.budget != nullptr ? *text.budget : own_budget;
  pattern_->find_matches(text.text, budget, [&](std::size_t begin, std::size_t end) {
    out.append(text.text, done, begin - done).append(content_);
    if (begin == 0 && end > 0 && out.empty()) text.keeps_start = false;
    done = end;
  });
  if (done == 0 && out.empty()) return;
  out.append(text.text, done);
  text.text = std::move(out);
}

void NmtNormalizer::normalize(NormalizedText& text) const {
  rewrite_characters(text, [](char32_t c, std::string& out) {
    const bool is_removed = (c >= 0x01 && c <= 0x08) || c == 0x0B || (c >= 0x0E && c <= 0x1F) ||
                            c == 0x7F || c == 0x8F || c == 0x9F;
    if (is_removed) return;
    const bool is_space = c == 0x09 || c == 0x0A || c == 0x0C || c == 0x0D || c == 0x1680 ||
                          (c >= 0x200B && c <= 0x200F) || c == 0x2028 || c == 0x2029 ||
                          c == 0x2581 || c == 0xFEFF || c == 0xFFFD;
    append_utf8(is_space ? U' ' : c, out);
  });
}

void BertNormalizer::normalize(NormalizedText& text) const {
  if (options_.clean_text) {
    rewrite_characters(text, [](char32_t c, std::string& out) {
      if (c == 0 || c == 0xFFFD || is_bert_control(c)) return;
      append_utf8(is_white_space(c) ? U' ' : c, out);
    });
  }
  if (options_.handle_chinese_chars) {
    rewrite_characters(text, [](char32_t c, std::string& out) {
      if (!is_chinese(c)) return append_utf8(c, out);
      out += ' ';
      append_utf8(c, out);
      out += ' ';
    });
  }
  if (options_.strip_accents) {
    NormalFormNormalizer(NormalForm::nfd).normalize(text);
    rewrite_characters(text, [](char32_t c, std::string& out) {
      if (category_of(c) != Category::mn || !is_in_unicode_8(c)) append_utf8(c, out);
    });
  }
  if (options_.lowercase) lowercase(text);
}

}  // namespace quern
