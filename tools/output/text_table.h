#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace quern::tools {

/// "4.5 MiB", "512 bytes".
std::string human_bytes(std::uint64_t bytes);

/// "2,359,488".
std::string grouped_digits(std::uint64_t number);

/// `text` broken at blanks into lines of at most `width` columns where that is possible.
std::vector<std::string> wrapped(std::string_view text, std::size_t width);

/// Headed groups of aligned name-value rows, at most 100 columns wide where words allow it.
class TextTable {
 public:
  static constexpr std::size_t kWidth = 100;

  void heading(std::string title);
  void row(std::string name, std::string value);

  /// The table as lines; headings in bold with `colour`.
  std::string text(bool colour) const;

 private:
  struct Row {
    std::string name;
    std::string value;
    bool is_heading = false;
  };
  std::vector<Row> rows_;
};

}  // namespace quern::tools
