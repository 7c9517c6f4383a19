// Any bytes as a safetensors file; what is accepted is read to its last byte.

#include <cstddef>
#include <cstdint>

#include "base/error.h"
#include "quern/safetensors.h"
#include "tests/fuzz/input_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const quern::fuzz::InputFile input(data, size);
  if (!input.is_whole()) return -1;
  try {
    const auto file = quern::SafetensorsFile::open(input.path());
    for (const quern::SafetensorsEntry& entry : file.entries()) file.read(entry);
  } catch (const quern::Error& error) {
    if (error.code() == quern::ErrorCode::internal) __builtin_trap();
  }
  return 0;
}
