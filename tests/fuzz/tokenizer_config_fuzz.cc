// tokenizer_config.json, special_tokens_map.json, added_tokens.json and config.json, with zero
// bytes between, beside a small tokenizer.json; what is accepted encodes and decodes.

#include <stdlib.h>

#include <array>
#include <filesystem>
#include <fstream>

#include "tests/fuzz/use_tokenizer.h"
#include "tests/tokenizer/folders.h"

namespace {

namespace fs = std::filesystem;

void write(const fs::path& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary)
      .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

fs::path make_folder() {
  std::string name = (fs::temp_directory_path() / "quern_fuzz_XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) __builtin_trap();
  write(fs::path(name) / "tokenizer.json", quern::testing::small_tokenizer_json().dump());
  return name;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const fs::path folder = make_folder();
  constexpr std::array<const char*, 4> kFiles = {"tokenizer_config.json", "special_tokens_map.json",
                                                 "added_tokens.json", "config.json"};
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  const std::string text(quern::fuzz::text_of(rest));
  for (const char* file : kFiles) {
    const std::string_view content = rest.substr(0, rest.find('\0'));
    rest.remove_prefix(std::min(content.size() + 1, rest.size()));
    if (content.empty()) {
      fs::remove(folder / file);
    } else {
      write(folder / file, content);
    }
  }
  try {
    const auto tokenizer = quern::Tokenizer::load(folder);
    quern::fuzz::use_tokenizer(*tokenizer, quern::fuzz::kAnyText);
    quern::fuzz::use_tokenizer(*tokenizer, text);
  } catch (const quern::Error& error) {
    if (error.code() == quern::ErrorCode::internal) __builtin_trap();
  }
  return 0;
}
