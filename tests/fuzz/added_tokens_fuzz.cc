// Added tokens, one a line behind a byte of flags, and behind an empty line the text to encode.
// The first byte of all chooses the normalizers.

#include "tests/fuzz/use_tokenizer.h"
#include "tokenizer/config/special_tokens.h"
#include "tokenizer/models/word_level_model.h"
#include "tokenizer/normalize/text_normalizers.h"

namespace {

using namespace quern;

void add_normalizers(unsigned flags, TokenizerParts& parts) {
  const auto add = [&](unsigned bit, std::unique_ptr<Normalizer> normalizer) {
    if ((flags & bit) != 0) parts.normalizers.push_back(std::move(normalizer));
  };
  add(1, std::make_unique<NormalFormNormalizer>(NormalForm::nfkd));
  add(2, std::make_unique<LowercaseNormalizer>());
  add(4, std::make_unique<StripNormalizer>(true, true));
  add(8, std::make_unique<StripAccentsNormalizer>());
  add(16, std::make_unique<NmtNormalizer>());
  add(32, std::make_unique<PrependNormalizer>("_"));
  if (!parts.normalizers.empty()) parts.max_shrinkage = 0;
}

TokenizerParts make_parts(std::string_view& rest) {
  TokenizerParts parts;
  // All text between added tokens is unknown to this model.
  parts.model = std::make_unique<WordLevelModel>(Vocabulary({{"<unk>", 0}}, "model"), "<unk>");
  parts.decoders.push_back(std::make_unique<FuseDecoder>());
  if (!rest.empty()) {
    add_normalizers(static_cast<unsigned char>(rest.front()), parts);
    rest.remove_prefix(1);
  }
  TokenizerConfig config;
  SpecialTokens special;
  special.file = "input";
  while (!rest.empty()) {
    std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    if (line.empty()) break;
    const auto flags = static_cast<unsigned char>(line.front());
    AddedToken token;
    token.content = line.substr(1);
    if (invalid_utf8_at(token.content)) continue;  // no JSON holds it
    token.special = (flags & 1u) != 0;
    token.single_word = (flags & 2u) != 0;
    token.lstrip = (flags & 4u) != 0;
    token.rstrip = (flags & 8u) != 0;
    token.normalized = (flags & 16u) != 0;
    special.tokens_of_file.push_back(std::move(token));
  }
  apply_config(config, special, TokenizerClass::none, parts);
  return parts;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  quern::fuzz::load_and_use(rest, [&] { return make_parts(rest); });
  return 0;
}
