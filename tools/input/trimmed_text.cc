#include "tools/input/trimmed_text.h"

#include <algorithm>
#include <array>

namespace quern::tools {
namespace {

/// The blanks in UTF-8, which is self-synchronising: a text begins or ends with one of these bytes
/// only where it begins or ends with that character.
constexpr std::array<std::string_view, 29> kBlanks = {
    "\x09",         "\x0A",         "\x0B",         "\x0C",         "\x0D",         "\x1C",
    "\x1D",         "\x1E",         "\x1F",         "\x20",         "\xC2\x85",     "\xC2\xA0",
    "\xE1\x9A\x80", "\xE2\x80\x80", "\xE2\x80\x81", "\xE2\x80\x82", "\xE2\x80\x83", "\xE2\x80\x84",
    "\xE2\x80\x85", "\xE2\x80\x86", "\xE2\x80\x87", "\xE2\x80\x88", "\xE2\x80\x89", "\xE2\x80\x8A",
    "\xE2\x80\xA8", "\xE2\x80\xA9", "\xE2\x80\xAF", "\xE2\x81\x9F", "\xE3\x80\x80"};

}  // namespace

std::string_view trimmed_text(std::string_view text) {
  const auto starts = [&](std::string_view blank) { return text.starts_with(blank); };
  const auto ends = [&](std::string_view blank) { return text.ends_with(blank); };
  const auto* none = kBlanks.end();
  for (auto it = std::find_if(kBlanks.begin(), none, starts); it != none;) {
    text.remove_prefix(it->size());
    it = std::find_if(kBlanks.begin(), none, starts);
  }
  for (auto it = std::find_if(kBlanks.begin(), none, ends); it != none;) {
    text.remove_suffix(it->size());
    it = std::find_if(kBlanks.begin(), none, ends);
  }
  return text;
}

}  // namespace quern::tools
