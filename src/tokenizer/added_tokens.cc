#include "tokenizer/added_tokens.h"

#include <algorithm>
#include <utility>

#include "base/utf8.h"
#include "tokenizer/pretokenize/unicode.h"

namespace quern {
namespace {

/// The first character of a text that is well-formed UTF-8 and not empty.
std::string_view first_character(std::string_view text) {
  return text.substr(0, first_utf8_piece(text).length_bytes);
}

std::string_view last_character(std::string_view text) {
  std::size_t begin = text.size() - 1;
  while ((static_cast<unsigned char>(text[begin]) & 0xC0u) == 0x80u) --begin;
  return text.substr(begin);
}

bool touches_word(std::string_view before, std::string_view after) {
  return (!before.empty() && is_word_character(decode_utf8(last_character(before)))) ||
         (!after.empty() && is_word_character(decode_utf8(first_character(after))));
}

std::size_t trailing_space_bytes(std::string_view text) {
  const std::size_t size = text.size();
  while (!text.empty() && is_white_space(decode_utf8(last_character(text)))) {
    text.remove_suffix(last_character(text).size());
  }
  return size - text.size();
}

std::size_t leading_space_bytes(std::string_view text) {
  const std::size_t size = text.size();
  while (!text.empty() && is_white_space(decode_utf8(first_character(text)))) {
    text.remove_prefix(first_character(text).size());
  }
  return size - text.size();
}

}  // namespace

std::vector<std::int32_t> ids_of(const std::vector<AddedToken>& tokens) {
  std::vector<std::int32_t> ids;
  ids.reserve(tokens.size());
  for (const AddedToken& token : tokens) ids.push_back(token.id);
  return ids;
}

StringFinder::StringFinder(std::vector<Entry> entries) : entries_(std::move(entries)) {
  std::sort(entries_.begin(), entries_.end(),
            [](const Entry& a, const Entry& b) { return a.text < b.text; });
  for (const Entry& entry : entries_) {
    begins_an_entry_[static_cast<unsigned char>(entry.text.front())] = true;
  }
}

std::optional<StringFinder::Match> StringFinder::find(std::string_view text,
                                                      std::size_t from) const {
  for (std::size_t at = from; at < text.size(); ++at) {
    if (!begins_an_entry_[static_cast<unsigned char>(text[at])]) continue;
    if (const auto match = longest_at(text, at)) return match;
  }
  return std::nullopt;
}

std::optional<StringFinder::Match> StringFinder::longest_at(std::string_view text,
                                                            std::size_t begin) const {
  // [first, last) are the entries that agree with the text so far.
  auto first = entries_.begin();
  auto last = entries_.end();
  std::optional<Match> found;
  for (std::size_t length = 0; first != last; ++length) {
    if (first->text.size() == length) found = Match{begin, length, first++->index};
    if (begin + length == text.size()) break;
    const auto byte_of = [length](const Entry& entry) {
      return static_cast<unsigned char>(entry.text[length]);
    };
    const auto byte = static_cast<unsigned char>(text[begin + length]);
    first = std::partition_point(first, last, [&](const Entry& e) { return byte_of(e) < byte; });
    last = std::partition_point(first, last, [&](const Entry& e) { return byte_of(e) == byte; });
  }
  return found;
}

AddedTokens::AddedTokens(std::vector<AddedToken> tokens, const Normalize& normalize)
    : tokens_(std::move(tokens)) {
  std::vector<StringFinder::Entry> as_written;
  std::vector<StringFinder::Entry> normalized;
  for (std::size_t i = 0; i < tokens_.size(); ++i) {
    const AddedToken& token = tokens_[i];
    by_id_.emplace(token.id, i);
    by_content_.emplace(token.content, i);
    if (token.normalized) {
      normalized.push_back({normalize(token.content), i});
    } else {
      as_written.push_back({token.content, i});
    }
  }
  as_written_ = StringFinder(std::move(as_written));
  normalized_ = StringFinder(std::move(normalized));
}

const AddedToken* AddedTokens::find(std::int32_t id) const {
  const auto it = by_id_.find(id);
  return it == by_id_.end() ? nullptr : &tokens_[it->second];
}

const AddedToken* AddedTokens::find(std::string_view content) const {
  const auto it = by_content_.find(content);
  return it == by_content_.end() ? nullptr : &tokens_[it->second];
}

void AddedTokens::split(std::string_view text, bool normalized, bool parse_special,
                        const Sink& sink) const {
  const StringFinder& finder = normalized ? normalized_ : as_written_;
  std::size_t done = 0;  // what has been handed out
  std::size_t begin = 0;
  std::size_t end = 0;
  for (auto match = finder.find(text, 0); match; match = finder.find(text, end)) {
    const AddedToken& token = tokens_[match->index];
    begin = match->begin;
    end = begin + match->length;
    if (token.special && !parse_special) continue;
    if (token.single_word && touches_word(text.substr(0, begin), text.substr(end))) continue;
    if (token.lstrip) {
      begin = std::max(done, begin - trailing_space_bytes(text.substr(0, begin)));
    }
    if (token.rstrip) end += leading_space_bytes(text.substr(end));
    if (done < begin) sink(text.substr(done, begin - done), nullptr);
    sink(text.substr(begin, end - begin), &token);
    done = end;
  }
  if (done < text.size()) sink(text.substr(done), nullptr);
}

}  // namespace quern
