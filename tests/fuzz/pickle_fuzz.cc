// Any bytes as the pickles of torch.save's files.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/error.h"
#include "io/torch/pickle.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view bytes(reinterpret_cast<const char*>(data), size);
  try {
    quern::PickleReader reader("input.bin");
    while (!bytes.empty()) reader.read(bytes);
  } catch (const quern::Error& error) {
    if (error.code() == quern::ErrorCode::internal) __builtin_trap();
  }
  return 0;
}
