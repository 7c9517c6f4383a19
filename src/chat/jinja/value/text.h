#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace quern::jinja {

/// A string in UTF-8 that knows which of its bytes come from outside the template. Every operation
/// on strings is made of append(), so that the marks travel with the bytes.
class Text {
 public:
  struct Range {
    std::size_t begin;
    std::size_t end;
  };

  Text() = default;
  explicit Text(std::string bytes, bool is_untrusted = false);

  const std::string& bytes() const { return bytes_; }
  std::string_view view() const { return bytes_; }
  std::size_t size() const { return bytes_.size(); }
  bool empty() const { return bytes_.empty(); }
  bool is_ascii() const { return is_ascii_; }
  /// Ascending, without overlap.
  const std::vector<Range>& untrusted() const { return untrusted_; }
  bool is_untrusted_at(std::size_t byte) const;
  /// Bytes of memory, roughly.
  std::size_t cost() const { return bytes_.size() + untrusted_.size() * sizeof(Range); }

  void append(std::string_view bytes, bool is_untrusted = false);
  void append(const Text& other) { append(other, 0, other.size()); }
  void append(const Text& other, std::size_t begin, std::size_t length);
  Text part(std::size_t begin, std::size_t length) const;

  // In code points, as Python counts.
  std::size_t length() const;
  /// The byte at which code point `index` begins; size() for index == length().
  std::size_t offset_of(std::size_t index) const;

 private:
  void mark(std::size_t begin, std::size_t end);

  std::string bytes_;
  std::vector<Range> untrusted_;
  bool is_ascii_ = true;
};

/// str.isspace() of one character.
bool is_python_space(char32_t c);

}  // namespace quern::jinja
