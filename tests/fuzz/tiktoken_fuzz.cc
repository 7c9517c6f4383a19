// Any bytes as a file of tiktoken ranks, the first Qwen's or Llama 3's by the input's length; what
// is accepted encodes and decodes.

#include "tests/fuzz/input_file.h"
#include "tests/fuzz/use_tokenizer.h"
#include "tokenizer/models/tiktoken.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const quern::fuzz::InputFile input(data, size);
  if (!input.is_whole()) return -1;
  const auto kind = size % 2 == 0 ? quern::TiktokenKind::qwen : quern::TiktokenKind::llama3;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  quern::fuzz::load_and_use(bytes, [&] { return quern::load_tiktoken(input.path(), {}, kind); });
  return 0;
}
