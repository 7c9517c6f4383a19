#include "tokenizer/decode/decoder.h"

#include <charconv>
#include <string_view>

#include "base/text/utf8.h"
#include "tokenizer/models/byte_level.h"
#include "tokenizer/unicode/code_points.h"

namespace quern {
namespace {

constexpr const char* kBrokenByte = "\uFFFD";

void replace_all(std::string& text, std::string_view what, std::string_view by) {
  if (what.empty() || text.find(what) == text.npos) return;
  std::string out;
  std::size_t done = 0;
  for (std::size_t at = 0; (at = text.find(what, done)) != text.npos;) {
    out.append(text, done, at - done).append(by);
    done = at + what.size();
  }
  text = out.append(text, done);
}

}  // namespace

void ByteLevelDecoder::decode(std::vector<std::string>& tokens) const {
  for (std::string& token : tokens) {
    if (auto bytes = bytes_from_symbols(token)) token = *std::move(bytes);
  }
}

int ByteFallbackDecoder::byte_of(const std::string& token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token.back() != '>') return -1;
  unsigned value = 0;
  const char* const end = token.data() + 5;
  const auto parsed = std::from_chars(token.data() + 3, end, value, 16);
  return parsed.ec == std::errc() && parsed.ptr == end ? static_cast<int>(value) : -1;
}

void ByteFallbackDecoder::decode(std::vector<std::string>& tokens) const {
  std::vector<std::string> out;
  std::string run;
  const auto flush = [&] {
    if (run.empty()) return;
    if (!invalid_utf8_at(run)) {
      out.push_back(run);
    } else {
      out.insert(out.end(), run.size(), kBrokenByte);
    }
    run.clear();
  };
  for (std::string& token : tokens) {
    const int byte = byte_of(token);
    if (byte >= 0) {
      run += static_cast<char>(byte);
    } else {
      flush();
      out.push_back(std::move(token));
    }
  }
  flush();
  tokens = std::move(out);
}

void FuseDecoder::decode(std::vector<std::string>& tokens) const {
  std::string all;
  for (const std::string& token : tokens) all += token;
  tokens.clear();
  tokens.push_back(std::move(all));
}

void StripDecoder::decode(std::vector<std::string>& tokens) const {
  if (character_.empty()) return;
  for (std::string& token : tokens) {
    std::string_view rest = token;
    for (std::size_t i = 0; i < start_ && rest.starts_with(character_); ++i) {
      rest.remove_prefix(character_.size());
    }
    for (std::size_t i = 0; i < stop_ && rest.ends_with(character_); ++i) {
      rest.remove_suffix(character_.size());
    }
    token = std::string(rest);
  }
}

void ReplaceDecoder::decode(std::vector<std::string>& tokens) const {
  std::size_t num_bytes = 0;
  for (const std::string& token : tokens) num_bytes += token.size();
  MatchBudget budget(num_bytes);
  for (std::string& token : tokens) {
    std::string out;
    std::size_t done = 0;
    pattern_->find_matches(token, budget, [&](std::size_t begin, std::size_t end) {
      out.append(token, done, begin - done).append(content_);
      done = end;
    });
    if (done > 0 || !out.empty()) token = out.append(token, done);
  }
}

void MetaspaceDecoder::decode(std::vector<std::string>& tokens) const {
  // All visible spaces of the first token are taken for what encoding put there.
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    replace_all(tokens[i], replacement_, i == 0 && prepends_ ? "" : " ");
  }
}

void BpeDecoder::decode(std::vector<std::string>& tokens) const {
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    replace_all(tokens[i], suffix_, i + 1 < tokens.size() ? " " : "");
  }
}

void SpacesDecoder::decode(std::vector<std::string>& tokens) const {
  for (std::size_t i = 1; i < tokens.size(); ++i) tokens[i].insert(0, 1, ' ');
}

}  // namespace quern
