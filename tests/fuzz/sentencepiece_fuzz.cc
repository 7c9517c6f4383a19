// Any bytes as a SentencePiece model (tokenizer.model); what is accepted encodes and decodes. The
// input's length chooses the class and its flags.

#include "tests/fuzz/input_file.h"
#include "tests/fuzz/use_tokenizer.h"
#include "tokenizer/sentencepiece/sentencepiece_model.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const quern::fuzz::InputFile input(data, size);
  if (!input.is_whole()) return -1;
  quern::TokenizerConfig config;
  if (size % 2 == 0) config.rebuilt_class = quern::TokenizerClass::llama;
  if (size % 3 == 0) config.legacy = size % 4 < 2;
  if (size % 5 == 0) config.add_prefix_space = false;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  quern::fuzz::load_and_use(bytes, [&] { return quern::load_sentencepiece(input.path(), config); });
  return 0;
}
