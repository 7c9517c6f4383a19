// What every user of PCRE2 needs beside its own functions: owners and error texts. Source:
// pcre2api(3).
#pragma once

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <array>
#include <memory>
#include <new>
#include <string>
#include <string_view>

namespace quern::pcre2 {

/// Calls PCRE2's own release function.
template <auto kRelease>
struct Release {
  template <typename T>
  void operator()(T* object) const {
    kRelease(object);
  }
};
using Code = std::unique_ptr<pcre2_code, Release<pcre2_code_free>>;
using MatchData = std::unique_ptr<pcre2_match_data, Release<pcre2_match_data_free>>;
using MatchContext = std::unique_ptr<pcre2_match_context, Release<pcre2_match_context_free>>;

inline PCRE2_SPTR units(std::string_view text) { return reinterpret_cast<PCRE2_SPTR>(text.data()); }

/// PCRE2's text for one of its error numbers.
inline std::string message(int error) {
  std::array<PCRE2_UCHAR, 256> text{};
  pcre2_get_error_message(error, text.data(), text.size());
  return reinterpret_cast<const char*>(text.data());
}

/// The compiled pattern, or none with PCRE2's reason in `error`.
inline Code compile(std::string_view pattern, std::uint32_t options, std::string& error) {
  int number = 0;
  PCRE2_SIZE offset = 0;
  Code code(pcre2_compile(units(pattern), pattern.size(), options, &number, &offset, nullptr));
  if (code == nullptr) error = message(number);
  return code;
}

/// Room for the matches of a pattern. Throws std::bad_alloc.
inline MatchData match_data(const pcre2_code* code) {
  MatchData data(pcre2_match_data_create_from_pattern(code, nullptr));
  if (data == nullptr) throw std::bad_alloc();
  return data;
}

/// What one match may take: calls of the matcher, their depth, and KiB of heap.
struct MatchLimits {
  std::uint32_t calls;
  std::uint32_t depth;
  std::uint32_t heap_kib;
};

/// A match context with these limits. Throws std::bad_alloc.
inline MatchContext match_context(const MatchLimits& limits) {
  MatchContext context(pcre2_match_context_create(nullptr));
  if (context == nullptr) throw std::bad_alloc();
  pcre2_set_match_limit(context.get(), limits.calls);
  pcre2_set_depth_limit(context.get(), limits.depth);
  pcre2_set_heap_limit(context.get(), limits.heap_kib);
  return context;
}

}  // namespace quern::pcre2
