#include "tokenizer/json/read_normalizers.h"

#include <utility>

#include "tokenizer/base64.h"
#include "tokenizer/json/component.h"
#include "tokenizer/models/byte_level.h"
#include "tokenizer/normalize/precompiled.h"
#include "tokenizer/normalize/text_normalizers.h"

namespace quern {
namespace {

/// ByteLevel as a normalizer.
class ByteLevelNormalizer final : public Normalizer {
 public:
  void normalize(NormalizedText& text) const override { text.text = symbols_from_bytes(text.text); }
};

std::unique_ptr<Normalizer> make_normalizer(const std::string& type, const JsonObject& json) {
  const auto flag = [&](const char* key, bool fallback) {
    return json.boolean(key).value_or(fallback);
  };
  const auto form = [](NormalForm f) { return std::make_unique<NormalFormNormalizer>(f); };
  if (type == "NFC") return form(NormalForm::nfc);
  if (type == "NFD") return form(NormalForm::nfd);
  if (type == "NFKC") return form(NormalForm::nfkc);
  if (type == "NFKD") return form(NormalForm::nfkd);
  if (type == "Lowercase") return std::make_unique<LowercaseNormalizer>();
  if (type == "Strip") {
    return std::make_unique<StripNormalizer>(flag("strip_left", true), flag("strip_right", true));
  }
  if (type == "StripAccents") return std::make_unique<StripAccentsNormalizer>();
  if (type == "Prepend")
    return std::make_unique<PrependNormalizer>(json.required_string("prepend"));
  if (type == "Replace") {
    return std::make_unique<ReplaceNormalizer>(read_pattern(json), json.required_string("content"));
  }
  if (type == "Nmt") return std::make_unique<NmtNormalizer>();
  if (type == "ByteLevel") return std::make_unique<ByteLevelNormalizer>();
  if (type == "Precompiled") {
    const auto bytes = decode_base64(json.required_string("precompiled_charsmap"));
    if (!bytes) json.reject("precompiled_charsmap", "base64");
    return std::make_unique<PrecompiledNormalizer>(*bytes,
                                                   json.file() + ": key 'precompiled_charsmap'");
  }
  if (type == "BertNormalizer") {
    BertNormalizer::Options options;
    options.clean_text = flag("clean_text", true);
    options.handle_chinese_chars = flag("handle_chinese_chars", true);
    options.lowercase = flag("lowercase", true);
    options.strip_accents = flag("strip_accents", options.lowercase);
    return std::make_unique<BertNormalizer>(options);
  }
  refuse_component(json, "normalizer.type", type,
                   "NFC, NFD, NFKC, NFKD, Lowercase, Strip, StripAccents, Prepend, Replace, Nmt, "
                   "ByteLevel, Precompiled, BertNormalizer or Sequence");
}

/// By what factor a text may shrink; 0: no limit.
std::size_t max_shrinkage(const std::string& type) {
  if (type == "Prepend" || type == "ByteLevel") return 1;
  // The longest canonical compositions put three marks of two bytes into a letter of three.
  return type == "NFC" || type == "NFD" ? 4 : 0;
}

}  // namespace

void read_normalizers(const JsonObject& root, TokenizerParts& parts) {
  for_each_component(
      root, "normalizer", "normalizers", [&](const std::string& type, const JsonObject& json) {
        parts.normalizers.push_back(make_normalizer(type, json));
        // Spaces become U+2581 in LLaMA's.
        const bool grows =
            type == "Replace" && json.has("content") && json.required_string("content") == "\u2581";
        parts.max_shrinkage *= grows ? 1 : max_shrinkage(type);
      });
}

}  // namespace quern
