// Arbitrary bytes as a JSON document, then as a config, and as a record.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/error.h"
#include "io/json/json.h"
#include "quern/json.h"

namespace {

template <typename Read>
void read_untrusted(const Read& read) {
  try {
    read();
  } catch (const quern::Error& error) {
    if (error.code() == quern::ErrorCode::internal) __builtin_trap();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  read_untrusted([&] {
    const quern::Json json = quern::parse_json(text, "input.json");
    const quern::JsonObject object(json, "input.json");
    object.string("model_type");
    object.integer("vocab_size", 1, 1 << 30);
    object.number("rope_theta", 0, 1e12);
  });
  read_untrusted([&] {
    const auto record = quern::JsonRecord::parse(text, "prompts.jsonl:1");
    record.text();
    record.string("prompt");
    record.token_ids("prompt_ids");
    record.strings("stop");
  });
  return 0;
}
