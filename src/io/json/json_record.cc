#include <algorithm>
#include <limits>
#include <utility>

#include "io/json/json.h"
#include "quern/json.h"

namespace quern {

struct QUERN_LOCAL JsonRecord::Held {
  std::shared_ptr<const Json> document;
  JsonObject object;  ///< of the document
};

JsonRecord JsonRecord::parse(std::string_view text, std::string source) {
  auto document =
      std::make_shared<const Json>(parse_json(text, source, nullptr, DuplicateKeys::refused));
  const JsonObject object(*document, std::move(source));
  return JsonRecord(std::make_shared<const Held>(Held{std::move(document), object}));
}

JsonRecord JsonRecord::of_texts(const std::map<std::string, std::string>& texts,
                                std::string source) {
  auto document = std::make_shared<const Json>(texts);
  const JsonObject object(*document, std::move(source));
  return JsonRecord(std::make_shared<const Held>(Held{std::move(document), object}));
}

const std::string& JsonRecord::source() const { return held_->object.file(); }

std::vector<std::string> JsonRecord::keys() const {
  std::vector<std::string> keys;
  for (const auto& item : held_->object.json().items()) keys.push_back(item.key());
  return keys;
}

bool JsonRecord::has(std::string_view key) const { return held_->object.has(key); }

std::string JsonRecord::text() const {
  return held_->object.json().dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::optional<std::uint64_t> JsonRecord::unsigned_integer(std::string_view key, std::uint64_t low,
                                                          std::uint64_t high) const {
  const Json* value = held_->object.find(key);
  if (value == nullptr) return std::nullopt;
  if (value->is_number_unsigned()) {
    const auto number = value->get<std::uint64_t>();
    if (number >= low && number <= high) return number;
  }
  reject(key, "an integer from " + std::to_string(low) + " to " + std::to_string(high));
}

std::optional<double> JsonRecord::number(std::string_view key, double low, double high) const {
  return held_->object.number(key, low, high);
}

std::optional<std::string> JsonRecord::string(std::string_view key) const {
  return held_->object.string(key);
}

std::optional<std::vector<std::string>> JsonRecord::strings(std::string_view key) const {
  const Json* value = held_->object.find(key);
  if (value == nullptr) return std::nullopt;
  const auto is_text = [](const Json& text) {
    return text.is_string() && !text.get_ref<const std::string&>().empty();
  };
  if (is_text(*value)) return std::vector{value->get<std::string>()};
  if (!value->is_array() || !std::all_of(value->begin(), value->end(), is_text)) {
    reject(key, "a text or a list of texts, none of them empty");
  }
  return value->get<std::vector<std::string>>();
}

std::optional<std::vector<std::int32_t>> JsonRecord::token_ids(std::string_view key) const {
  if (!has(key)) return std::nullopt;
  const auto ids =
      held_->object.required_integers(key, 0, std::numeric_limits<std::int32_t>::max());
  return std::vector<std::int32_t>(ids.begin(), ids.end());
}

std::optional<JsonRecord> JsonRecord::object(std::string_view key) const {
  const auto inner = held_->object.object(key);
  if (!inner) return std::nullopt;
  return JsonRecord(std::make_shared<const Held>(Held{held_->document, *inner}));
}

double JsonRecord::required_number(std::string_view key, double low, double high) const {
  return held_->object.required_number(key, low, high);
}

std::string JsonRecord::required_string(std::string_view key) const {
  return held_->object.required_string(key);
}

void JsonRecord::require_only(std::span<const std::string_view> known) const {
  held_->object.require_only(known);
}

void JsonRecord::reject(std::string_view key, std::string_view expected) const {
  held_->object.reject(key, expected);
}

}  // namespace quern
