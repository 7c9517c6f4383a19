// Arbitrary bytes as a JSON document, then as a config.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/error.h"
#include "io/json.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const quern::Json json = quern::parse_json(text, "input.json");
    const quern::JsonObject object(json, "input.json");
    object.string("model_type");
    object.integer("vocab_size", 1, 1 << 30);
    object.number("rope_theta", 0, 1e12);
  } catch (const quern::Error& error) {
    if (error.code() == quern::ErrorCode::internal) __builtin_trap();
  }
  return 0;
}
