// vocab.json and, behind a zero byte, merges.txt; what is accepted encodes and decodes as GPT-2's,
// Qwen2's or LLaMA's, which the input's length chooses.

#include "tests/fuzz/input_file.h"
#include "tests/fuzz/use_tokenizer.h"
#include "tokenizer/config/special_tokens.h"
#include "tokenizer/json/model_tables.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using quern::TokenizerClass;
  constexpr TokenizerClass kClasses[] = {TokenizerClass::gpt2, TokenizerClass::qwen2,
                                         TokenizerClass::llama};
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const std::size_t vocab_size = std::min(bytes.find('\0'), size);
  const std::size_t merges_begin = std::min(vocab_size + 1, size);
  const quern::fuzz::InputFile vocab(data, vocab_size);
  const quern::fuzz::InputFile merges(data + merges_begin, size - merges_begin);
  if (!vocab.is_whole() || !merges.is_whole()) return -1;
  quern::fuzz::load_and_use(bytes, [&] {
    const TokenizerClass name = kClasses[size % std::size(kClasses)];
    quern::TokenizerParts parts;
    quern::build_class(name, {}, quern::Vocabulary(quern::read_vocab_json(vocab.path()), "vocab"),
                       quern::read_merges_txt(merges.path()), "merges", parts);
    quern::SpecialTokens special;
    special.file = "vocab";
    quern::apply_config({}, special, name, parts);
    return parts;
  });
  return 0;
}
