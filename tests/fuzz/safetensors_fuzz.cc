// Arbitrary bytes as a safetensors file; an accepted one is read to its last byte.

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "base/error.h"
#include "quern/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const int descriptor = ::memfd_create("input.safetensors", MFD_CLOEXEC);
  if (descriptor < 0 || ::write(descriptor, data, size) != static_cast<ssize_t>(size)) return -1;
  try {
    const auto file = quern::SafetensorsFile::open("/proc/self/fd/" + std::to_string(descriptor));
    volatile std::uint8_t last = 0;
    for (const quern::SafetensorsEntry& entry : file.entries()) {
      for (const std::byte byte : entry.data) last = std::to_integer<std::uint8_t>(byte);
    }
    static_cast<void>(last);
  } catch (const quern::Error& error) {
    if (error.code() == quern::ErrorCode::internal) __builtin_trap();
  }
  ::close(descriptor);
  return 0;
}
