// A model folder whose config.json is the input, with a demo model's other files: what is accepted
// generates tokens.

#include <stdlib.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>

#include "quern/engine.h"
#include "quern/error.h"

namespace {

std::filesystem::path make_folder() {
  std::string name = (std::filesystem::temp_directory_path() / "quern_fuzz_XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) __builtin_trap();
  const std::filesystem::path demo =
      std::filesystem::path(QUERN_SOURCE_DIR) / "examples/models/tale-llama";
  for (const auto& entry : std::filesystem::directory_iterator(demo)) {
    const std::filesystem::path file = entry.path();
    if (file.filename() == "config.json") continue;
    std::filesystem::create_symlink(file, std::filesystem::path(name) / file.filename());
  }
  return name;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::filesystem::path folder = make_folder();
  std::ofstream(folder / "config.json", std::ios::binary)
      .write(reinterpret_cast<const char*>(data), static_cast<std::streamsize>(size));
  try {
    quern::EngineOptions options;
    options.device = quern::DeviceChoice::cpu;
    options.threads = 1;
    options.max_seqs = 1;
    options.max_seq_len = 8;
    quern::Engine engine = quern::Engine::load(folder.string(), options);
    quern::Request request;
    request.prompt_ids = {1, 2};
    request.max_new_tokens = 2;
    engine.generate(request);
  } catch (const quern::Error& error) {
    if (error.code() == quern::ErrorCode::internal) __builtin_trap();
  }
  return 0;
}
