// config.json, and behind a zero byte generation_config.json.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string_view>

#include "base/error.h"
#include "model/config/config.h"
#include "model/config/generation_config.h"
#include "tests/fuzz/folder_of_input.h"

namespace {

template <typename Load>
void accept_or_refuse(const Load& load) {
  try {
    load();
  } catch (const quern::Error& error) {
    if (error.code() == quern::ErrorCode::internal) __builtin_trap();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::filesystem::path folder = quern::fuzz::make_folder();
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::size_t end = std::min(text.find('\0'), size);
  quern::fuzz::write_file(folder / "config.json", text.substr(0, end));
  quern::fuzz::write_file(folder / "generation_config.json",
                          end < size ? text.substr(end + 1) : std::string_view("{}"));
  accept_or_refuse([] { quern::load_model_config(folder); });
  accept_or_refuse([] { quern::load_generation_config(folder); });
  return 0;
}
