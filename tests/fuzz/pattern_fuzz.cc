// A pre-tokenizer's pattern and, behind a line break, the text that it cuts: its matches must lie
// in the text, in order, and end within the limits.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/text/utf8.h"
#include "tokenizer/pretokenize/pattern.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  if (quern::invalid_utf8_at(input)) return -1;
  const std::string_view regex = input.substr(0, input.find('\n'));
  const std::string_view text = input.substr(std::min(regex.size() + 1, size));
  try {
    const auto pattern = quern::make_pattern(std::string(regex), "input");
    std::size_t done = 0;
    quern::MatchBudget budget(text.size());
    pattern->find_matches(text, budget, [&](std::size_t begin, std::size_t end) {
      if (begin < done || end < begin || end > text.size()) __builtin_trap();
      done = end;
    });
  } catch (const quern::Error& error) {
    if (error.code() == quern::ErrorCode::internal) __builtin_trap();
  }
  return 0;
}
