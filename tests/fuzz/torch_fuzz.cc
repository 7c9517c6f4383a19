// Any bytes as pytorch_model.bin; tensors that are accepted and small are read.

#include <cstddef>
#include <cstdint>

#include "base/error.h"
#include "io/torch/torch_file.h"
#include "tests/fuzz/input_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::uint64_t kMaxReadBytes = 1 << 20;  // a tensor may repeat a few bytes at will
  const quern::fuzz::InputFile input(data, size);
  if (!input.is_whole()) return -1;
  try {
    for (const auto& [name, tensor] : quern::read_torch_file(input.path())) {
      if (tensor.size_bytes <= kMaxReadBytes) tensor.read_all();
    }
  } catch (const quern::Error& error) {
    if (error.code() == quern::ErrorCode::internal) __builtin_trap();
  }
  return 0;
}
