// Any bytes as tokenizer.json; what is accepted encodes and decodes. The input's length chooses
// the class that tokenizer_config.json would name.

#include "tests/fuzz/input_file.h"
#include "tests/fuzz/use_tokenizer.h"
#include "tokenizer/json/tokenizer_json.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using quern::TokenizerClass;
  constexpr TokenizerClass kClasses[] = {TokenizerClass::none,  TokenizerClass::none,
                                         TokenizerClass::none,  TokenizerClass::gpt2,
                                         TokenizerClass::llama, TokenizerClass::qwen2};
  const quern::fuzz::InputFile input(data, size);
  if (!input.is_whole()) return -1;
  quern::TokenizerConfig config;
  config.rebuilt_class = kClasses[size % std::size(kClasses)];
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  quern::fuzz::load_and_use(bytes,
                            [&] { return quern::load_tokenizer_json(input.path(), config); });
  return 0;
}
