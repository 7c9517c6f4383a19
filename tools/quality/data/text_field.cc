#include "tools/quality/data/text_field.h"

#include <fmt/format.h>

#include <vector>

#include "quern/text.h"
#include "tools/cli/fail.h"

namespace quern::tools {

std::string text_of(const RecordReader::Record& record, const TextField& field) {
  const JsonObject object = record.object();
  if (object.has(field.name)) return object.required_string(field.name);
  constexpr std::size_t kMaxShown = 8;
  std::vector<std::string> names;
  for (const auto& entry : record.json.items()) {
    names.push_back(names.size() < kMaxShown ? quoted_name(entry.key()) : "…");
    if (names.size() > kMaxShown) break;
  }
  fail(ErrorCode::bad_file, "{}: expected a field {}, got {}; {} names another", record.place,
       quoted_name(field.name), names.empty() ? "none" : fmt::format("{}", fmt::join(names, ", ")),
       field.option);
}

}  // namespace quern::tools
