#include "tokenizer/pretokenize/pipeline.h"

#include <algorithm>
#include <functional>
#include <initializer_list>
#include <limits>

#include "base/error.h"

namespace quern {
namespace {

[[noreturn]] void refuse(const JsonObject& json, std::string_view key, const Json& value) {
  fail(ErrorCode::unsupported, "{}: key '{}': {} is not supported", json.file(), key,
       quoted_name(value.dump(-1, ' ', false, Json::error_handler_t::replace)));
}

/// Refuses keys that are not known here: they might change what the component does.
void expect_keys(const JsonObject& component, std::string_view name,
                 std::initializer_list<std::string_view> known) {
  for (const auto& [key, value] : component.json().items()) {
    if (key != "type" && std::find(known.begin(), known.end(), key) == known.end()) {
      refuse(component, fmt::format("{}.{}", name, key), value);
    }
  }
}

/// Calls `take(type, component)` for the component of that key, or for each of a Sequence's in
/// order; a Sequence lists them under `list_key`.
void for_each_component(const JsonObject& parent, const std::string& key,
                        const std::string& list_key,
                        const std::function<void(const std::string&, const JsonObject&)>& take) {
  const auto component = parent.object(key);
  if (!component) return;
  const std::string type = component->required_string("type");
  if (type != "Sequence") return take(type, *component);
  expect_keys(*component, key, {list_key});
  const Json* list = component->find(list_key);
  if (list == nullptr || !list->is_array()) component->reject(list_key, "a list");
  for (std::size_t i = 0; i < list->size(); ++i) {
    const std::string prefix = fmt::format("{}.{}[{}].", key, list_key, i);
    const JsonObject element((*list)[i], parent.file(), prefix);
    take(element.required_string("type"), element);
  }
}

Regex read_pattern(const JsonObject& split) {
  const auto pattern = split.object("pattern");
  if (!pattern) split.reject("pattern", "an object");
  expect_keys(*pattern, "pattern", {"Regex", "String"});
  const bool literal = pattern->has("String");
  return Regex(pattern->required_string(literal ? "String" : "Regex"),
               literal ? Regex::Syntax::literal : Regex::Syntax::pattern,
               fmt::format("{}: key 'pre_tokenizer'", split.file()));
}

PreTokenizer::Keep read_keep(const JsonObject& split) {
  const std::string behavior = split.required_string("behavior");
  const bool invert = split.boolean("invert").value_or(false);
  if (behavior == "Isolated") return PreTokenizer::Keep::all;
  if (behavior != "Removed") refuse(split, "pre_tokenizer.behavior", behavior);
  return invert ? PreTokenizer::Keep::matches : PreTokenizer::Keep::gaps;
}

void read_template_ids(const JsonObject& component, Template& result) {
  expect_keys(component, "post_processor", {"single", "pair", "special_tokens"});
  const Json* single = component.find("single");
  if (single == nullptr || !single->is_array()) component.reject("single", "a list");
  const auto specials = component.object("special_tokens");
  bool after_text = false;
  for (const Json& item : *single) {
    if (item.is_object() && item.contains("Sequence")) {
      if (after_text) refuse(component, "post_processor.single", *single);
      after_text = true;
      continue;
    }
    if (!item.is_object() || !item.contains("SpecialToken"))
      component.reject("single", "a template");
    const JsonObject special(item["SpecialToken"], component.file(), "post_processor.single.");
    const std::string name = special.required_string("id");
    const auto entry = specials ? specials->object(name) : std::nullopt;
    if (!entry) {
      fail(ErrorCode::bad_file, "{}: key 'post_processor.special_tokens': {} is not there",
           component.file(), quoted_name(name));
    }
    auto& ids = after_text ? result.suffix_ids : result.prefix_ids;
    for (const std::int64_t id :
         entry->required_integers("ids", 0, std::numeric_limits<std::int32_t>::max() - 1)) {
      ids.push_back(static_cast<std::int32_t>(id));
    }
  }
  if (!after_text) component.reject("single", "a template with a Sequence");
}

}  // namespace

bool read_normalizer(const JsonObject& root) {
  bool nfc = false;
  for_each_component(root, "normalizer", "normalizers",
                     [&](const std::string& type, const JsonObject& component) {
                       if (type != "NFC") refuse(root, "normalizer.type", type);
                       expect_keys(component, "normalizer", {});
                       nfc = true;
                     });
  return nfc;
}

PreTokenizer read_pretokenizer(const JsonObject& root) {
  PreTokenizer pretokenizer;
  bool has_byte_level = false;
  for_each_component(root, "pre_tokenizer", "pretokenizers",
                     [&](const std::string& type, const JsonObject& component) {
                       // What follows ByteLevel would see its byte alphabet instead of the text.
                       if (has_byte_level)
                         refuse(root, "pre_tokenizer after ByteLevel", component.json());
                       if (type == "Split") {
                         expect_keys(component, "pre_tokenizer", {"pattern", "behavior", "invert"});
                         pretokenizer.add_split(read_pattern(component), read_keep(component));
                       } else if (type == "ByteLevel") {
                         expect_keys(component, "pre_tokenizer",
                                     {"add_prefix_space", "trim_offsets", "use_regex"});
                         has_byte_level = true;
                         if (component.boolean("add_prefix_space").value_or(true))
                           pretokenizer.add_prefix_space();
                         if (component.boolean("use_regex").value_or(true)) {
                           pretokenizer.add_split(
                               Regex(kGpt2Pattern, Regex::Syntax::pattern, root.file()),
                               PreTokenizer::Keep::all);
                         }
                       } else {
                         refuse(root, "pre_tokenizer.type", type);
                       }
                     });
  if (!has_byte_level) {
    fail(ErrorCode::unsupported, "{}: key 'pre_tokenizer': expected ByteLevel in it", root.file());
  }
  return pretokenizer;
}

Template read_post_processor(const JsonObject& root) {
  Template result;
  for_each_component(root, "post_processor", "processors",
                     [&](const std::string& type, const JsonObject& component) {
                       if (type == "TemplateProcessing") {
                         if (!result.prefix_ids.empty() || !result.suffix_ids.empty()) {
                           refuse(root, "post_processor with two templates", component.json());
                         }
                         read_template_ids(component, result);
                       } else if (type == "ByteLevel") {
                         expect_keys(component, "post_processor",
                                     {"add_prefix_space", "trim_offsets", "use_regex"});
                       } else {
                         refuse(root, "post_processor.type", type);
                       }
                     });
  return result;
}

void check_decoder(const JsonObject& root) {
  bool has_byte_level = false;
  for_each_component(
      root, "decoder", "decoders", [&](const std::string& type, const JsonObject& component) {
        if (type != "ByteLevel") refuse(root, "decoder.type", type);
        expect_keys(component, "decoder", {"add_prefix_space", "trim_offsets", "use_regex"});
        has_byte_level = true;
      });
  if (!has_byte_level) {
    fail(ErrorCode::unsupported, "{}: key 'decoder': expected ByteLevel", root.file());
  }
}

}  // namespace quern
