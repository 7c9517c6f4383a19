#include "io/json/json.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/text/utf8.h"
#include "quern/files.h"

namespace quern {
namespace {

/// The value as JSON on one line.
std::string shortened(const Json& value) {
  constexpr std::size_t kMaxShownBytes = 60;
  return shortened_text(value.dump(-1, ' ', false, Json::error_handler_t::replace), kMaxShownBytes);
}

/// The integer value, or nothing when `value` is not an integer or lies outside [low, high].
std::optional<std::int64_t> integer_between(const Json& value, std::int64_t low,
                                            std::int64_t high) {
  if (!value.is_number_integer()) return std::nullopt;
  if (value.is_number_unsigned() && value.get<std::uint64_t>() > std::uint64_t{INT64_MAX}) {
    return std::nullopt;
  }
  const auto number = value.get<std::int64_t>();
  if (number < low || number > high) return std::nullopt;
  return number;
}

}  // namespace

std::string quoted_name(std::string_view text) {
  std::string shown = shortened(Json(std::string(text))).substr(1);
  if (shown.ends_with('"')) shown.pop_back();
  return fmt::format("'{}'", shown);
}

Json read_json(const std::filesystem::path& path, std::size_t max_bytes) {
  return parse_json(read_text_file(path, max_bytes), path.string());
}

JsonObject::JsonObject(const Json& json, std::string file, std::string prefix)
    : json_(&json), file_(std::move(file)), prefix_(std::move(prefix)) {
  if (!json.is_object()) {
    fail(ErrorCode::bad_file, "{}: {}expected an object, got {}", file_,
         prefix_.empty()
             ? ""
             : fmt::format("key {}: ", quoted_name(prefix_.substr(0, prefix_.size() - 1))),
         shortened(json));
  }
}

const Json* JsonObject::find(std::string_view key) const {
  const auto it = json_->find(std::string(key));
  return it == json_->end() || it->is_null() ? nullptr : &*it;
}

std::optional<std::int64_t> JsonObject::integer(std::string_view key, std::int64_t low,
                                                std::int64_t high) const {
  const Json* value = find(key);
  if (value == nullptr) return std::nullopt;
  const auto number = integer_between(*value, low, high);
  if (!number) reject(key, fmt::format("an integer from {} to {}", low, high));
  return number;
}

std::optional<double> JsonObject::number(std::string_view key, double low, double high) const {
  const Json* value = find(key);
  if (value == nullptr) return std::nullopt;
  const auto expected = [&] { return fmt::format("a number from {} to {}", low, high); };
  if (!value->is_number()) reject(key, expected());
  const auto number = value->get<double>();
  if (!(number >= low && number <= high)) reject(key, expected());
  return number;
}

std::optional<bool> JsonObject::boolean(std::string_view key) const {
  const Json* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_boolean()) reject(key, "true or false");
  return value->get<bool>();
}

std::optional<std::string> JsonObject::string(std::string_view key) const {
  const Json* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_string()) reject(key, "a string");
  return value->get<std::string>();
}

std::optional<JsonObject> JsonObject::object(std::string_view key) const {
  const Json* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_object()) reject(key, "an object");
  return JsonObject(*value, file_, fmt::format("{}{}.", prefix_, key));
}

std::int64_t JsonObject::required_integer(std::string_view key, std::int64_t low,
                                          std::int64_t high) const {
  const auto value = integer(key, low, high);
  if (!value) reject(key, fmt::format("an integer from {} to {}", low, high));
  return *value;
}

double JsonObject::required_number(std::string_view key, double low, double high) const {
  const auto value = number(key, low, high);
  if (!value) reject(key, fmt::format("a number from {} to {}", low, high));
  return *value;
}

std::string JsonObject::required_string(std::string_view key) const {
  auto value = string(key);
  if (!value) reject(key, "a string");
  return *std::move(value);
}

std::vector<std::int64_t> JsonObject::required_integers(std::string_view key, std::int64_t low,
                                                        std::int64_t high) const {
  const auto expected = [&] { return fmt::format("a list of integers from {} to {}", low, high); };
  const Json* value = find(key);
  if (value == nullptr || !value->is_array()) reject(key, expected());
  std::vector<std::int64_t> numbers;
  numbers.reserve(value->size());
  for (const Json& element : *value) {
    const auto number = integer_between(element, low, high);
    if (!number) reject(key, expected());
    numbers.push_back(*number);
  }
  return numbers;
}

void JsonObject::require_only(std::span<const std::string_view> known) const {
  for (const auto& [key, value] : json_->items()) {
    if (std::find(known.begin(), known.end(), key) != known.end()) continue;
    fail(ErrorCode::bad_file, "{}: key {}: unknown, expected one of {}", file_,
         quoted_name(prefix_ + key), fmt::join(known, ", "));
  }
}

void JsonObject::reject(std::string_view key, std::string_view expected) const {
  const auto it = json_->find(std::string(key));
  fail(ErrorCode::bad_file, "{}: key {}: expected {}, got {}", file_,
       quoted_name(fmt::format("{}{}", prefix_, key)), expected,
       it == json_->end() ? "nothing" : shortened(*it));
}

}  // namespace quern
