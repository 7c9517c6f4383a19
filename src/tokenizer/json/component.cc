#include "tokenizer/json/component.h"

#include "base/error.h"

namespace quern {
namespace {

void walk(const JsonObject& component, const std::string& key, const std::string& list_key,
          const TakeComponent& take) {
  const std::string type = component.required_string("type");
  if (type != "Sequence") return take(type, component);
  const Json* list = component.find(list_key);
  if (list == nullptr || !list->is_array()) component.reject(list_key, "a list");
  for (std::size_t i = 0; i < list->size(); ++i) {
    const std::string name = fmt::format("{}.{}[{}]", key, list_key, i);
    walk(JsonObject((*list)[i], component.file(), name + "."), name, list_key, take);
  }
}

}  // namespace

void refuse_component(const JsonObject& json, std::string_view key, std::string_view value,
                      std::string_view expected) {
  fail(ErrorCode::unsupported, "{}: key '{}': {} is not supported, expected {}", json.file(), key,
       quoted_name(value), expected);
}

void for_each_component(const JsonObject& parent, const std::string& key,
                        const std::string& list_key, const TakeComponent& take) {
  const auto component = parent.object(key);
  if (component) walk(*component, key, list_key, take);
}

std::unique_ptr<Pattern> read_pattern(const JsonObject& component) {
  const auto pattern = component.object("pattern");
  if (!pattern) component.reject("pattern", "an object");
  if (pattern->has("String")) {
    return std::make_unique<LiteralPattern>(pattern->required_string("String"));
  }
  return make_pattern(pattern->required_string("Regex"),
                      fmt::format("{}: key 'pattern'", component.file()));
}

}  // namespace quern
