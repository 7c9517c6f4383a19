#include "tools/chat/json_text.h"

#include <vector>

#include "quern/text.h"
#include "tools/cli/fail.h"

namespace quern::tools {
namespace {

constexpr int kMaxLevels = 100;
// Of ordered keys each is compared with all.
constexpr std::size_t kMaxKeys = 4096;

}  // namespace

OrderedJson parse_json_text(std::string_view text, const std::string& source) {
  if (const auto at = invalid_utf8_at(text)) {
    fail(ErrorCode::bad_file, "{}: expected UTF-8, got another byte at offset {}", source, *at);
  }
  std::vector<std::size_t> num_keys;
  using Event = OrderedJson::parse_event_t;
  const auto check = [&](int depth, Event event, const OrderedJson& /*value*/) {
    const bool starts = event == Event::object_start || event == Event::array_start;
    if (starts && depth >= kMaxLevels) {  // of the outermost level it is 0
      fail(ErrorCode::bad_file, "{}: expected JSON of at most {} levels, got more", source,
           kMaxLevels);
    }
    if (event == Event::object_start) num_keys.push_back(0);
    if (event == Event::object_end) num_keys.pop_back();
    if (event == Event::key && ++num_keys.back() > kMaxKeys) {
      fail(ErrorCode::bad_file, "{}: expected objects of at most {} keys, got more", source,
           kMaxKeys);
    }
    return true;
  };
  try {
    return OrderedJson::parse(text.begin(), text.end(), check);
  } catch (const OrderedJson::exception& error) {
    std::string reason = error.what();
    // "[json.exception.parse_error.101] parse error at line 1, column 2: …"
    if (const std::size_t end = reason.find("] "); end != std::string::npos) {
      reason.erase(0, end + 2);
    }
    fail(ErrorCode::bad_file, "{}: not valid JSON: {}", source, reason);
  }
}

bool is_json(std::string_view text) {
  try {
    parse_json_text(text, "");
    return true;
  } catch (const Error&) {
    return false;
  }
}

std::string json_text(const OrderedJson& json) { return json.dump(); }

}  // namespace quern::tools
