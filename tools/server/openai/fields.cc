#include "tools/server/openai/fields.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "quern/text.h"
#include "tools/chat/json_text.h"
#include "tools/cli/parsing/nearest_name.h"
#include "tools/server/openai/api_error.h"

namespace quern::tools {
namespace {

OrderedJson parse_body(std::string_view body) {
  if (body.empty()) throw ApiError(400, "the body is empty: expected a JSON object");
  OrderedJson json;
  try {
    json = parse_json_text(body, "body");
  } catch (const Error& error) {
    throw ApiError(400, error.what(), "", "invalid_json");
  }
  if (!json.is_object()) {
    throw ApiError(400, fmt::format("body: expected a JSON object, got {}", json.type_name()));
  }
  return json;
}

/// An integer, also where it is written as 4.0; nothing for anything else.
std::optional<std::int64_t> integer_of(const OrderedJson& value) {
  constexpr auto kMax = std::numeric_limits<std::int64_t>::max();
  if (value.is_number_unsigned()) {
    const auto number = value.get<std::uint64_t>();
    if (number > static_cast<std::uint64_t>(kMax)) return std::nullopt;
    return static_cast<std::int64_t>(number);
  }
  if (value.is_number_integer()) return value.get<std::int64_t>();
  if (!value.is_number_float()) return std::nullopt;
  constexpr double kExact = 9007199254740992.0;  // 2^53
  const auto number = value.get<double>();
  if (std::floor(number) != number || std::abs(number) > kExact) return std::nullopt;
  return static_cast<std::int64_t>(number);
}

}  // namespace

std::string shown_value(const OrderedJson& value) {
  constexpr std::size_t kMaxBytes = 60;
  return shortened_text(json_body(value), kMaxBytes);
}

Fields::Fields(std::string_view body) : held_(parse_body(body)), object_(&held_) {}

Fields::Fields(const OrderedJson& object, std::string path)
    : object_(&object), path_(std::move(path)) {
  if (!object.is_object()) bad_field(path_, "expected an object, got {}", shown_value(object));
}

std::string Fields::path_of(const std::string& name) const {
  return path_.empty() ? name : path_ + "." + name;
}

const OrderedJson* Fields::find(const std::string& name) {
  known_.insert(name);
  const auto found = object_->find(name);
  return found == object_->end() || found->is_null() ? nullptr : &*found;
}

const OrderedJson& Fields::required(const std::string& name) {
  const OrderedJson* value = find(name);
  if (value == nullptr) bad_field(path_of(name), "missing");
  return *value;
}

bool Fields::boolean(const std::string& name, bool unset) {
  const OrderedJson* value = find(name);
  if (value == nullptr) return unset;
  if (!value->is_boolean()) {
    bad_field(path_of(name), "expected true or false, got {}", shown_value(*value));
  }
  return value->get<bool>();
}

std::optional<std::int64_t> Fields::integer(const std::string& name, std::int64_t low,
                                            std::int64_t high) {
  const OrderedJson* value = find(name);
  if (value == nullptr) return std::nullopt;
  const auto number = integer_of(*value);
  if (!number || *number < low || *number > high) {
    bad_field(path_of(name), "expected an integer from {} to {}, got {}", low, high,
              shown_value(*value));
  }
  return number;
}

std::optional<float> Fields::number(const std::string& name, double low, double high) {
  const OrderedJson* value = find(name);
  if (value == nullptr) return std::nullopt;
  const double number = value->is_number() ? value->get<double>() : NAN;
  if (!(number >= low && number <= high)) {
    bad_field(path_of(name), "expected a number from {} to {}, got {}", low, high,
              shown_value(*value));
  }
  const auto rounded = static_cast<float>(number);
  if (number != 0 && rounded == 0.0F) {  // too small for a float32, but not nothing
    return std::copysign(std::numeric_limits<float>::denorm_min(), static_cast<float>(number));
  }
  return rounded;
}

std::optional<std::string> Fields::text(const std::string& name) {
  const OrderedJson* value = find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_string()) bad_field(path_of(name), "expected a text, got {}", shown_value(*value));
  return value->get<std::string>();
}

std::optional<std::vector<std::int32_t>> Fields::token_ids(const std::string& name) {
  const OrderedJson* value = find(name);
  if (value == nullptr) return std::nullopt;
  return token_ids_of(*value, path_of(name));
}

std::vector<std::int32_t> token_ids_of(const OrderedJson& list, const std::string& path) {
  if (!list.is_array()) bad_field(path, "expected a list of token ids, got {}", shown_value(list));
  std::vector<std::int32_t> ids;
  ids.reserve(list.size());
  for (const OrderedJson& entry : list) {
    const auto id = integer_of(entry);
    if (!id || *id < 0 || *id > std::numeric_limits<std::int32_t>::max()) {
      bad_field(path, "expected token ids, got {}", shown_value(entry));
    }
    ids.push_back(static_cast<std::int32_t>(*id));
  }
  return ids;
}

void Fields::ignore(std::initializer_list<std::string_view> names) {
  for (const std::string_view name : names) known_.emplace(name);
}

void Fields::refuse(const std::string& name, std::string_view why) {
  const OrderedJson* value = find(name);
  if (value == nullptr || *value == false) return;
  if ((value->is_array() || value->is_object()) && value->empty()) return;
  bad_field(path_of(name), "{}", why);
}

void Fields::reject_unknown() const {
  for (const auto& [name, value] : object_->items()) {
    if (known_.contains(name)) continue;
    const std::vector<std::string> names(known_.begin(), known_.end());
    throw ApiError(
        400, fmt::format("unknown field {}{}", quoted_name(path_of(name)), suggestion(name, names)),
        shortened_text(path_of(name), 60), "unknown_field");
  }
}

}  // namespace quern::tools
