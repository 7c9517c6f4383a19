#include "tools/quality/data/text_field.h"

#include <fmt/format.h>

#include <vector>

#include "quern/text.h"
#include "tools/cli/fail.h"

namespace quern::tools {

std::string text_of(const JsonRecord& record, const TextField& field) {
  if (auto text = record.string(field.name)) return *std::move(text);
  constexpr std::size_t kMaxShown = 8;
  std::vector<std::string> names;
  for (const std::string& key : record.keys()) {
    names.push_back(names.size() < kMaxShown ? quoted_name(key) : "…");
    if (names.size() > kMaxShown) break;
  }
  fail(ErrorCode::bad_file, "{}: expected a field {}, got {}; {} names another", record.source(),
       quoted_name(field.name), names.empty() ? "none" : fmt::format("{}", fmt::join(names, ", ")),
       field.option);
}

}  // namespace quern::tools
