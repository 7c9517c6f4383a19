#include "chat/jinja/value/text.h"

#include <algorithm>
#include <utility>

#include "base/text/utf8.h"

namespace quern::jinja {
namespace {

bool has_only_ascii(std::string_view text) {
  unsigned char all = 0;
  for (const char c : text) all = static_cast<unsigned char>(all | static_cast<unsigned char>(c));
  return all < 0x80;
}

bool begins_code_point(char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }

}  // namespace

Text::Text(std::string bytes, bool is_untrusted)
    : bytes_(std::move(bytes)), is_ascii_(has_only_ascii(bytes_)) {
  if (is_untrusted) mark(0, bytes_.size());
}

void Text::mark(std::size_t begin, std::size_t end) {
  if (begin == end) return;
  if (!untrusted_.empty() && untrusted_.back().end == begin) {
    untrusted_.back().end = end;
  } else {
    untrusted_.push_back({begin, end});
  }
}

bool Text::is_untrusted_at(std::size_t byte) const {
  const auto it = std::upper_bound(untrusted_.begin(), untrusted_.end(), byte,
                                   [](std::size_t at, const Range& r) { return at < r.end; });
  return it != untrusted_.end() && it->begin <= byte;
}

void Text::append(std::string_view bytes, bool is_untrusted) {
  const std::size_t begin = bytes_.size();
  bytes_ += bytes;
  is_ascii_ = is_ascii_ && has_only_ascii(bytes);
  if (is_untrusted) mark(begin, bytes_.size());
}

void Text::append(const Text& other, std::size_t begin, std::size_t length) {
  const std::size_t at = bytes_.size();
  bytes_.append(other.bytes_, begin, length);
  is_ascii_ = is_ascii_ && (other.is_ascii_ || has_only_ascii(other.view().substr(begin, length)));
  const std::size_t end = begin + length;
  auto it = std::upper_bound(other.untrusted_.begin(), other.untrusted_.end(), begin,
                             [](std::size_t from, const Range& r) { return from < r.end; });
  for (; it != other.untrusted_.end() && it->begin < end; ++it) {
    mark(at + std::max(it->begin, begin) - begin, at + std::min(it->end, end) - begin);
  }
}

Text Text::part(std::size_t begin, std::size_t length) const {
  Text text;
  text.append(*this, begin, length);
  return text;
}

std::size_t Text::length() const {
  if (is_ascii_) return bytes_.size();
  return static_cast<std::size_t>(std::count_if(bytes_.begin(), bytes_.end(), begins_code_point));
}

std::size_t Text::offset_of(std::size_t index) const {
  if (is_ascii_) return std::min(index, bytes_.size());
  std::size_t at = 0;
  for (; at < bytes_.size(); ++at) {
    if (begins_code_point(bytes_[at]) && index-- == 0) break;
  }
  return at;
}

bool is_python_space(char32_t c) {
  if (c < 0x85) return c == ' ' || (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x1F);
  return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
         c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

}  // namespace quern::jinja
