#include "tokenizer/added/added_tokens.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/error.h"
#include "tokenizer/token_model.h"
#include "tokenizer/unicode/code_points.h"
#include "tokenizer/unicode/unicode.h"

namespace quern {
namespace {

bool touches_word(std::string_view text, std::size_t begin, std::size_t end) {
  return (begin > 0 && is_word_character(code_point_before(text, begin).value)) ||
         (end < text.size() && is_word_character(code_point_at(text, end).value));
}

/// Where the white space that ends at `end` begins, not before `first`.
std::size_t spaces_begin(std::string_view text, std::size_t first, std::size_t end) {
  while (end > first) {
    const CodePoint c = code_point_before(text, end);
    if (!is_white_space(c.value) || end - c.length_bytes < first) break;
    end -= c.length_bytes;
  }
  return end;
}

std::size_t spaces_end(std::string_view text, std::size_t begin) {
  while (begin < text.size()) {
    const CodePoint c = code_point_at(text, begin);
    if (!is_white_space(c.value)) break;
    begin += c.length_bytes;
  }
  return begin;
}

}  // namespace

void AddedTokenTable::add(AddedToken token, const std::string& where) {
  constexpr std::size_t kMaxBytes = std::size_t{16} << 20;
  if (token.content.empty()) return;
  const auto known = ids_.find(token.content);
  if (known != ids_.end()) {
    token.id = known->second;
  } else if (const auto id = model_.find(token.content)) {
    token.id = *id;
  } else {
    const std::int32_t vocab_size = model_.num_tokens();
    token.id = ids_.empty() ? vocab_size : std::max(vocab_size, tokens_.rbegin()->first + 1);
  }
  if (known == ids_.end()) {
    num_bytes_ += token.content.size();
    if (num_bytes_ > kMaxBytes) {
      fail(ErrorCode::bad_file, "{}: the added tokens hold {} bytes, expected at most {}", where,
           num_bytes_, kMaxBytes);
    }
    ids_.emplace(token.content, token.id);
  }
  const std::int32_t id = token.id;
  tokens_.insert_or_assign(id, std::move(token));
}

const AddedToken* AddedTokenTable::find(std::int32_t id) const {
  const auto it = tokens_.find(id);
  return it == tokens_.end() ? nullptr : &it->second;
}

const AddedToken* AddedTokenTable::find(std::string_view content) const {
  const auto it = ids_.find(content);
  return it == ids_.end() ? nullptr : find(it->second);
}

std::vector<AddedToken> AddedTokenTable::tokens() const {
  std::vector<AddedToken> tokens;
  tokens.reserve(tokens_.size());
  for (const auto& [id, token] : tokens_) tokens.push_back(token);
  return tokens;
}

AddedTokens::AddedTokens(std::vector<AddedToken> tokens, const Normalize& normalize)
    : tokens_(std::move(tokens)), by_content_(tokens_.size()) {
  std::sort(tokens_.begin(), tokens_.end(),
            [](const AddedToken& a, const AddedToken& b) { return a.id < b.id; });
  std::iota(by_content_.begin(), by_content_.end(), std::size_t{0});
  std::sort(by_content_.begin(), by_content_.end(),
            [&](std::size_t a, std::size_t b) { return tokens_[a].content < tokens_[b].content; });
  std::vector<StringFinder::Entry> as_written;
  std::vector<StringFinder::Entry> normalized;
  for (std::size_t i = 0; i < tokens_.size(); ++i) {
    const AddedToken& token = tokens_[i];
    auto& entries = token.normalized ? normalized : as_written;
    entries.push_back({token.normalized ? normalize(token.content) : token.content,
                       static_cast<std::int32_t>(i)});
    written_.push_back(entries.back().text);
    max_token_bytes_ =
        std::max({max_token_bytes_, entries.back().text.size(), token.content.size()});
    strips_ = strips_ || token.lstrip || token.rstrip;
  }
  as_written_ = StringFinder(as_written);
  normalized_ = StringFinder(normalized);
}

const AddedToken* AddedTokens::find(std::int32_t id) const {
  const auto it = std::lower_bound(
      tokens_.begin(), tokens_.end(), id,
      [](const AddedToken& token, std::int32_t value) { return token.id < value; });
  return it == tokens_.end() || it->id != id ? nullptr : &*it;
}

std::string AddedTokens::written(std::int32_t id) const {
  const AddedToken* token = find(id);
  return token == nullptr ? std::string()
                          : written_[static_cast<std::size_t>(token - tokens_.data())];
}

const AddedToken* AddedTokens::find(std::string_view content) const {
  const auto it = std::lower_bound(
      by_content_.begin(), by_content_.end(), content,
      [&](std::size_t i, std::string_view value) { return tokens_[i].content < value; });
  return it == by_content_.end() || tokens_[*it].content != content ? nullptr : &tokens_[*it];
}

void AddedTokens::split(std::string_view text, bool normalized, bool parse_special,
                        const Sink& sink, const IsPlain& is_plain) const {
  const StringFinder& finder = normalized ? normalized_ : as_written_;
  std::size_t done = 0;         // what has been handed out
  std::size_t stripped_to = 0;  // where white space ends that was passed before
  for (const StringFinder::Match& match : finder.find_all(text)) {
    const AddedToken& token = tokens_[static_cast<std::size_t>(match.value)];
    std::size_t begin = match.begin;
    std::size_t end = begin + match.length;
    if (token.special && !parse_special) continue;
    if (is_plain && is_plain(token, begin, end)) continue;
    if (token.single_word && touches_word(text, begin, end)) continue;
    if (token.lstrip) begin = std::max(done, spaces_begin(text, std::min(done, begin), begin));
    if (token.rstrip) {
      stripped_to = std::max(stripped_to,
                             spaces_end(text, std::max(end, std::min(stripped_to, text.size()))));
      end = stripped_to;
    }
    if (done < begin) sink(text.substr(done, begin - done), nullptr);
    sink(token.content, &token);
    done = end;
  }
  if (done < text.size()) sink(text.substr(done), nullptr);
}

}  // namespace quern
