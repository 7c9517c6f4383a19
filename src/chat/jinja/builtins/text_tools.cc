#include "chat/jinja/builtins/text_tools.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "base/text/utf8.h"
#include "tokenizer/unicode/code_points.h"
#include "tokenizer/unicode/unicode.h"

namespace quern::jinja {
namespace {

bool is_in(std::string_view character, const Text* chars, char32_t value) {
  return chars == nullptr ? is_python_space(value)
                          : chars->view().find(character) != std::string_view::npos;
}

bool is_line_end(char32_t c) {
  return (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 ||
         c == 0x2029;
}

std::unordered_map<char32_t, char32_t> make_uppercase() {
  std::unordered_map<char32_t, char32_t> upper;
  for (char32_t c = 0x80; c < 0x1E944; ++c) {
    const char32_t lower = lowercase_of(c);
    if (lower != c && c != 0x130 && c != 0x1E9E && c != 0x2126 && c != 0x212A && c != 0x212B) {
      upper.emplace(lower, c);
    }
  }
  upper[0xB5] = 0x39C;
  upper[0xFF] = 0x178;
  upper[0x131] = 'I';
  upper[0x17F] = 'S';
  upper[0x3C2] = 0x3A3;
  return upper;
}

bool is_cased(char32_t c) {
  const Category category = category_of(c);
  return category <= Category::lt;
}

}  // namespace

Text stripped(const Text& text, const Text* chars, Side side) {
  const std::string_view bytes = text.view();
  std::size_t begin = 0;
  std::size_t end = bytes.size();
  const auto sides = static_cast<unsigned>(side);
  while ((sides & 1U) != 0 && begin < end) {
    const CodePoint c = code_point_at(bytes, begin);
    if (!is_in(bytes.substr(begin, c.length_bytes), chars, c.value)) break;
    begin += c.length_bytes;
  }
  while ((sides & 2U) != 0 && end > begin) {
    const CodePoint c = code_point_before(bytes, end);
    if (!is_in(bytes.substr(end - c.length_bytes, c.length_bytes), chars, c.value)) break;
    end -= c.length_bytes;
  }
  return text.part(begin, end - begin);
}

Text replaced(Heap& heap, const Text& text, std::string_view from, const Text& to,
              std::int64_t count) {
  const std::string_view bytes = text.view();
  heap.charge(text.cost());
  Text out;
  std::size_t done = 0;
  std::size_t at = 0;
  while (count != 0) {
    if (from.empty()) {
      if (at > bytes.size()) break;
    } else {
      at = bytes.find(from, at);
      if (at == std::string_view::npos) break;
    }
    heap.step();
    heap.charge(to.cost());
    out.append(text, done, at - done);
    out.append(to);
    done = at + from.size();
    at = done;
    if (from.empty()) at += at < bytes.size() ? code_point_at(bytes, at).length_bytes : 1;
    if (count > 0) --count;
  }
  out.append(text, std::min(done, bytes.size()), bytes.size() - std::min(done, bytes.size()));
  return out;
}

std::vector<Text> split_lines(const Text& text, bool keeps_ends) {
  std::vector<Text> lines;
  const std::string_view bytes = text.view();
  std::size_t begin = 0;
  for (std::size_t at = 0; at < bytes.size();) {
    const CodePoint c = code_point_at(bytes, at);
    std::size_t end = at + c.length_bytes;
    if (is_line_end(c.value)) {
      if (c.value == '\r' && bytes.substr(end, 1) == "\n") ++end;
      lines.push_back(text.part(begin, (keeps_ends ? end : at) - begin));
      begin = end;
    }
    at = end;
  }
  if (begin < bytes.size()) lines.push_back(text.part(begin, bytes.size() - begin));
  return lines;
}

std::vector<Text> split_at(const Text& text, std::string_view separator, std::int64_t max_splits) {
  std::vector<Text> parts;
  std::size_t begin = 0;
  while (max_splits != 0) {
    const std::size_t at = text.view().find(separator, begin);
    if (at == std::string_view::npos) break;
    parts.push_back(text.part(begin, at - begin));
    begin = at + separator.size();
    if (max_splits > 0) --max_splits;
  }
  parts.push_back(text.part(begin, text.size() - begin));
  return parts;
}

std::vector<Text> split_at_from_end(const Text& text, std::string_view separator,
                                    std::int64_t max_splits) {
  std::vector<Text> parts;
  std::size_t end = text.size();
  while (max_splits != 0) {
    const std::size_t at = text.view().substr(0, end).rfind(separator);
    if (at == std::string_view::npos) break;
    parts.push_back(text.part(at + separator.size(), end - at - separator.size()));
    end = at;
    if (max_splits > 0) --max_splits;
  }
  parts.push_back(text.part(0, end));
  std::reverse(parts.begin(), parts.end());
  return parts;
}

std::vector<Text> split_words(const Text& text, std::int64_t max_splits) {
  std::vector<Text> words;
  Text rest = stripped(text, nullptr, Side::left);
  const std::string_view bytes = rest.view();
  std::size_t begin = 0;
  for (std::size_t at = 0; at < bytes.size();) {
    const CodePoint c = code_point_at(bytes, at);
    if (!is_python_space(c.value)) {
      at += c.length_bytes;
      continue;
    }
    if (max_splits == 0) break;
    if (max_splits > 0) --max_splits;
    words.push_back(rest.part(begin, at - begin));
    while (at < bytes.size() && is_python_space(code_point_at(bytes, at).value)) {
      at += code_point_at(bytes, at).length_bytes;
    }
    begin = at;
  }
  if (begin < bytes.size()) {
    words.push_back(rest.part(begin, bytes.size() - begin));
  }
  return words;
}

std::vector<Text> split_words_from_end(const Text& text, std::int64_t max_splits) {
  std::vector<Text> words;
  Text rest = stripped(text, nullptr, Side::right);
  while (!rest.empty() && max_splits != 0) {
    std::size_t begin = rest.size();
    while (begin > 0) {
      const CodePoint c = code_point_before(rest.view(), begin);
      if (is_python_space(c.value)) break;
      begin -= c.length_bytes;
    }
    words.push_back(rest.part(begin, rest.size() - begin));
    rest = stripped(rest.part(0, begin), nullptr, Side::right);
    if (max_splits > 0) --max_splits;
  }
  if (!rest.empty()) words.push_back(rest);
  std::reverse(words.begin(), words.end());
  return words;
}

Text joined(Heap& heap, const std::vector<Text>& parts, const Text& separator) {
  Text out;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    heap.charge(parts[i].cost() + separator.cost());
    if (i > 0) out.append(separator);
    out.append(parts[i]);
  }
  return out;
}

char32_t uppercase_of(char32_t c) {
  if (c < 0x80) return c >= 'a' && c <= 'z' ? c - 32 : c;
  static const std::unordered_map<char32_t, char32_t> uppercase = make_uppercase();
  const auto it = uppercase.find(c);
  return it == uppercase.end() ? c : it->second;
}

Text with_case(Heap& heap, const Text& text, Case to) {
  heap.charge(text.cost() * 4);
  Text out;
  bool starts = true;    // the text
  bool in_word = false;  // behind a cased character
  std::string character;
  for_each_code_point(text.view(), [&](char32_t c, std::size_t at, std::size_t) {
    const bool is_upper = category_of(c) == Category::lu;
    bool raises = to == Case::upper;
    if (to == Case::title) raises = !in_word;
    if (to == Case::capitalize) raises = starts;
    if (to == Case::swap) raises = !is_upper;
    starts = false;
    in_word = is_cased(c);
    character.clear();
    if (raises) {
      if (c == 0xDF) {
        character = to == Case::upper || to == Case::swap ? "SS" : "Ss";
      } else {
        append_utf8(uppercase_of(c), character);
      }
    } else {
      append_utf8(lowercase_of(c), character);
      if (c == 0x130) append_utf8(0x307, character);
    }
    out.append(character, text.is_untrusted_at(at));
  });
  return out;
}

Value as_list(Heap& heap, std::vector<Text> texts) {
  std::vector<Value> values;
  values.reserve(texts.size());
  for (Text& text : texts) values.push_back(heap.string(std::move(text)));
  return heap.list(std::move(values));
}

}  // namespace quern::jinja
