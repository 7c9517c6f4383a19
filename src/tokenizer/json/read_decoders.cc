#include "tokenizer/json/read_decoders.h"

#include <limits>
#include <utility>

#include "base/error.h"
#include "tokenizer/json/component.h"

namespace quern {
namespace {

constexpr std::int64_t kMaxTemplateId = std::numeric_limits<std::int32_t>::max() - 1;

std::unique_ptr<Decoder> make_decoder(const std::string& type, const JsonObject& json) {
  if (type == "ByteLevel") return std::make_unique<ByteLevelDecoder>();
  if (type == "ByteFallback") return std::make_unique<ByteFallbackDecoder>();
  if (type == "Fuse") return std::make_unique<FuseDecoder>();
  if (type == "Replace") {
    return std::make_unique<ReplaceDecoder>(read_pattern(json), json.required_string("content"));
  }
  if (type == "Strip") {
    const auto count = [&](const char* key) {
      return static_cast<std::size_t>(json.integer(key, 0, 1 << 20).value_or(0));
    };
    return std::make_unique<StripDecoder>(json.string("content").value_or(" "), count("start"),
                                          count("stop"));
  }
  if (type == "Metaspace") {
    const bool prepends = json.string("prepend_scheme").value_or("always") != "never" &&
                          json.boolean("add_prefix_space").value_or(true);
    return std::make_unique<MetaspaceDecoder>(json.string("replacement").value_or("\u2581"),
                                              prepends);
  }
  if (type == "BPEDecoder") {
    return std::make_unique<BpeDecoder>(json.string("suffix").value_or("</w>"));
  }
  refuse_component(json, "decoder.type", type,
                   "ByteLevel, ByteFallback, Fuse, Replace, Strip, Metaspace, BPEDecoder or "
                   "Sequence");
}

void read_template(const JsonObject& component, TokenizerParts& parts) {
  const Json* single = component.find("single");
  if (single == nullptr || !single->is_array()) component.reject("single", "a list");
  const auto specials = component.object("special_tokens");
  std::vector<std::int32_t> prefix;
  std::vector<std::int32_t> suffix;
  bool after_text = false;
  for (const Json& item : *single) {
    if (item.is_object() && item.contains("Sequence")) {
      if (after_text) component.reject("single", "one Sequence");
      after_text = true;
      continue;
    }
    if (!item.is_object() || !item.contains("SpecialToken")) {
      component.reject("single", "a template");
    }
    const JsonObject special(item["SpecialToken"], component.file(), "post_processor.single.");
    const std::string name = special.required_string("id");
    const auto entry = specials ? specials->object(name) : std::nullopt;
    if (!entry) {
      fail(ErrorCode::bad_file, "{}: key 'post_processor.special_tokens': {} is not there",
           component.file(), quoted_name(name));
    }
    for (const std::int64_t id : entry->required_integers("ids", 0, kMaxTemplateId)) {
      (after_text ? suffix : prefix).push_back(static_cast<std::int32_t>(id));
    }
  }
  if (!after_text) component.reject("single", "a template with a Sequence");
  // A later processor puts its tokens around those of an earlier one.
  parts.prefix_ids.insert(parts.prefix_ids.begin(), prefix.begin(), prefix.end());
  parts.suffix_ids.insert(parts.suffix_ids.end(), suffix.begin(), suffix.end());
}

/// ["</s>", 2]
std::int32_t token_and_id(const JsonObject& component, const char* key) {
  const Json* pair = component.find(key);
  if (pair == nullptr || !pair->is_array() || pair->size() != 2 ||
      !(*pair)[1].is_number_unsigned() || (*pair)[1].get<std::uint64_t>() > kMaxTemplateId) {
    component.reject(key, "a token and its id");
  }
  return (*pair)[1].get<std::int32_t>();
}

}  // namespace

void read_decoders(const JsonObject& root, TokenizerParts& parts) {
  for_each_component(root, "decoder", "decoders",
                     [&](const std::string& type, const JsonObject& json) {
                       parts.decoders.push_back(make_decoder(type, json));
                     });
  if (parts.decoders.empty()) parts.decoders.push_back(std::make_unique<SpacesDecoder>());
}

bool read_post_processor(const JsonObject& root, TokenizerParts& parts) {
  for_each_component(
      root, "post_processor", "processors", [&](const std::string& type, const JsonObject& json) {
        if (type == "TemplateProcessing") {
          read_template(json, parts);
        } else if (type == "RobertaProcessing" || type == "BertProcessing") {
          parts.prefix_ids.insert(parts.prefix_ids.begin(), token_and_id(json, "cls"));
          parts.suffix_ids.push_back(token_and_id(json, "sep"));
        } else if (type != "ByteLevel") {
          refuse_component(json, "post_processor.type", type,
                           "TemplateProcessing, RobertaProcessing, BertProcessing, ByteLevel or "
                           "Sequence");
        }
      });
  return root.has("post_processor");
}

}  // namespace quern
