#include "runtime/request/dry_breakers.h"

#include <algorithm>
#include <cstdint>
#include <set>

#include "base/error.h"
#include "base/text/utf8.h"

namespace quern {

std::vector<std::string> dry_sequence_breakers(const SamplingParams& params) {
  return params.dry_sequence_breakers.value_or(std::vector<std::string>{"\n", ":", "\"", "*"});
}

void add_dry_breakers(const SamplingParams& params, const Tokenizer& tokenizer, SamplingRow& row) {
  if (row.dry_multiplier == 0.0f) return;
  EncodeOptions encode;
  encode.parse_special = false;
  encode.add_bos = false;
  std::set<std::int32_t> ids;
  for (const std::string& text : dry_sequence_breakers(params)) {
    if (text.empty()) {
      fail(ErrorCode::invalid_argument, "dry_sequence_breakers: one of them is empty");
    }
    if (const auto place = invalid_utf8_at(text)) {
      fail(ErrorCode::invalid_argument, "dry_sequence_breakers: not valid UTF-8 at byte {}",
           *place);
    }
    ids.insert(tokenizer.encode("a" + text, encode).back());
  }
  if (ids.size() > kMaxDryBreakers) {
    fail(ErrorCode::invalid_argument, "dry_sequence_breakers: {} tokens, expected at most {}",
         ids.size(), kMaxDryBreakers);
  }
  row.num_dry_breakers = static_cast<std::int32_t>(ids.size());
  std::ranges::copy(ids, row.dry_breakers);
}

}  // namespace quern
