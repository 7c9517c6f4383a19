#include "tokenizer/decode/clean_up.h"

#include <algorithm>

namespace quern {
namespace {

/// How many bytes at the end of `text` may be the begin of `what`.
std::size_t begun_bytes(std::string_view text, std::string_view what) {
  std::size_t length = std::min(text.size(), what.size() - 1);
  while (!text.ends_with(what.substr(0, length))) --length;
  return length;
}

}  // namespace

std::string SpaceCleaner::apply(std::size_t rule, std::string_view text) {
  const auto& [from, to] = kRules[rule];
  const std::string all = pending_[rule].append(text);
  std::string out;
  std::size_t done = 0;
  for (std::size_t at = 0; (at = all.find(from, done)) != all.npos; done = at + from.size()) {
    out.append(all, done, at - done).append(to);
  }
  const std::string_view rest = std::string_view(all).substr(done);
  const std::size_t begun = begun_bytes(rest, from);
  out += rest.substr(0, rest.size() - begun);
  pending_[rule] = rest.substr(rest.size() - begun);
  return out;
}

std::string SpaceCleaner::add(std::string_view text) {
  std::string cleaned(text);
  for (std::size_t rule = 0; rule < kRules.size(); ++rule) cleaned = apply(rule, cleaned);
  return cleaned;
}

std::string SpaceCleaner::finish() {
  std::string cleaned;
  for (std::size_t rule = 0; rule < kRules.size(); ++rule) {
    cleaned = apply(rule, cleaned);
    cleaned += pending_[rule];
    pending_[rule].clear();
  }
  return cleaned;
}

std::string clean_up_spaces(std::string_view text) {
  SpaceCleaner cleaner;
  std::string cleaned = cleaner.add(text);
  return cleaned += cleaner.finish();
}

}  // namespace quern
