#pragma once

#include <cstdint>
#include <vector>

#include "chat/jinja/run/heap.h"
#include "chat/jinja/value/value.h"

namespace quern::jinja {

// Python's methods of str, on marked text.
enum class Side : std::uint8_t { left = 1, right = 2, both = 3 };
/// `chars`: null for white space.
Text stripped(const Text& text, const Text* chars, Side side);
/// `count` below 0: all.
Text replaced(Heap& heap, const Text& text, std::string_view from, const Text& to,
              std::int64_t count);
std::vector<Text> split_lines(const Text& text, bool keeps_ends);
std::vector<Text> split_at(const Text& text, std::string_view separator, std::int64_t max_splits);
std::vector<Text> split_at_from_end(const Text& text, std::string_view separator,
                                    std::int64_t max_splits);
/// At runs of white space.
std::vector<Text> split_words(const Text& text, std::int64_t max_splits);
std::vector<Text> split_words_from_end(const Text& text, std::int64_t max_splits);
Text joined(Heap& heap, const std::vector<Text>& parts, const Text& separator);

enum class Case : std::uint8_t { lower, upper, title, capitalize, swap };
Text with_case(Heap& heap, const Text& text, Case to);
char32_t uppercase_of(char32_t c);

Value as_list(Heap& heap, std::vector<Text> texts);

}  // namespace quern::jinja
