#include "tools/input/json_input.h"

#include <algorithm>
#include <limits>
#include <set>
#include <utility>

#include "quern/text.h"
#include "tools/cli/fail.h"

namespace quern::tools {
namespace {

constexpr std::size_t kMaxShownBytes = 60;

std::string shown(const Json& value) {
  return shortened_text(value.dump(-1, ' ', false, Json::error_handler_t::replace), kMaxShownBytes);
}

/// Refuses duplicate keys and deep nesting. Linear time, unlike nlohmann's parser with a callback.
class StrictCheck {
 public:
  explicit StrictCheck(const std::string& source) : source_(source) {}

  bool null() { return true; }
  bool boolean(bool /*value*/) { return true; }
  bool number_integer(Json::number_integer_t /*value*/) { return true; }
  bool number_unsigned(Json::number_unsigned_t /*value*/) { return true; }
  bool number_float(Json::number_float_t /*value*/, const std::string& /*text*/) { return true; }
  bool string(const std::string& /*value*/) { return true; }
  bool binary(const Json::binary_t& /*value*/) { return true; }
  bool start_object(std::size_t /*size*/) { return open(); }
  bool start_array(std::size_t /*size*/) { return open(); }
  bool end_object() { return close(); }
  bool end_array() { return close(); }
  bool key(const std::string& name) {
    if (!keys_.back().insert(name).second) {
      fail(ErrorCode::bad_file, "{}: duplicate key {}", source_, shown(Json(name)));
    }
    return true;
  }
  bool parse_error(std::size_t /*position*/, const std::string& /*token*/,
                   const Json::exception& error) {
    constexpr std::size_t kMaxReasonBytes = 200;  // it quotes the last token, of any length
    const std::string reason = replace_invalid_utf8(error.what());
    fail(ErrorCode::bad_file, "{}: not valid JSON: {}", source_,
         shortened_text(reason.substr(reason.find("] ") + 2), kMaxReasonBytes));
  }

 private:
  static constexpr std::size_t kMaxDepth = 100;

  bool open() {
    if (keys_.size() >= kMaxDepth) {
      fail(ErrorCode::bad_file, "{}: nested deeper than {} levels", source_, kMaxDepth);
    }
    keys_.emplace_back();
    return true;
  }
  bool close() {
    keys_.pop_back();
    return true;
  }

  const std::string& source_;
  std::vector<std::set<std::string>> keys_;  // of the objects and lists that are open
};

}  // namespace

Json parse_json(std::string_view text, const std::string& source) {
  if (text.find('\0') != std::string_view::npos) {  // the parser would take it for the end
    fail(ErrorCode::bad_file, "{}: not valid JSON: a zero byte", source);
  }
  StrictCheck check(source);
  Json::sax_parse(text, &check);
  return Json::parse(text);
}

JsonObject::JsonObject(const Json& json, std::string source, std::string prefix)
    : json_(&json), source_(std::move(source)), prefix_(std::move(prefix)) {
  if (!json.is_object()) {
    fail(ErrorCode::bad_file, "{}: expected an object, got {}", source_, shown(json));
  }
}

const Json* JsonObject::find(std::string_view key) const {
  const auto found = json_->find(std::string(key));
  return found == json_->end() || found->is_null() ? nullptr : &*found;
}

std::optional<double> JsonObject::number(std::string_view key, double low, double high) const {
  if (!has(key)) return std::nullopt;
  return required_number(key, low, high);
}

std::optional<JsonObject> JsonObject::object(std::string_view key) const {
  const Json* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_object()) reject(key, "an object");
  return JsonObject(*value, source_, fmt::format("{}{}.", prefix_, key));
}

double JsonObject::required_number(std::string_view key, double low, double high) const {
  const Json* value = find(key);
  if (value != nullptr && value->is_number()) {
    const auto number = value->get<double>();
    if (number >= low && number <= high) return number;
  }
  reject(key, fmt::format("a number from {} to {}", low, high));
}

std::string JsonObject::required_string(std::string_view key) const {
  const Json* value = find(key);
  if (value == nullptr || !value->is_string()) reject(key, "a string");
  return value->get<std::string>();
}

std::vector<std::int32_t> JsonObject::required_ids(std::string_view key) const {
  constexpr std::int64_t kMaxId = std::numeric_limits<std::int32_t>::max();
  const auto is_id = [](const Json& value) {
    if (!value.is_number_unsigned()) return false;
    return value.get<std::uint64_t>() <= std::uint64_t{kMaxId};
  };
  const Json* value = find(key);
  if (value == nullptr || !value->is_array() || !std::all_of(value->begin(), value->end(), is_id)) {
    reject(key, fmt::format("integers from 0 to {}", kMaxId));
  }
  return value->get<std::vector<std::int32_t>>();
}

void JsonObject::require_only(std::span<const std::string_view> known) const {
  for (const auto& item : json_->items()) {
    if (std::find(known.begin(), known.end(), item.key()) != known.end()) continue;
    fail(ErrorCode::bad_file, "{}: unknown key {}; known are {}", source_,
         quoted_name(prefix_ + item.key()), fmt::join(known, ", "));
  }
}

void JsonObject::reject(std::string_view key, std::string_view expected) const {
  const auto found = json_->find(std::string(key));
  fail(ErrorCode::bad_file, "{}: key {}: expected {}, got {}", source_,
       quoted_name(fmt::format("{}{}", prefix_, key)), expected,
       found == json_->end() ? "nothing" : shown(*found));
}

}  // namespace quern::tools
