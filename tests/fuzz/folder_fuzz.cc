// A model folder whose config.json is the input, with a demo model's other files: what is accepted
// generates tokens.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string_view>

#include "quern/engine.h"
#include "quern/error.h"
#include "tests/fuzz/folder_of_input.h"

namespace {

std::filesystem::path make_folder() {
  std::filesystem::path folder = quern::fuzz::make_folder();
  const std::filesystem::path demo =
      std::filesystem::path(QUERN_SOURCE_DIR) / "examples/models/tale-llama";
  for (const auto& entry : std::filesystem::directory_iterator(demo)) {
    const std::filesystem::path file = entry.path();
    if (file.filename() == "config.json") continue;
    std::filesystem::create_symlink(file, folder / file.filename());
  }
  return folder;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::filesystem::path folder = make_folder();
  quern::fuzz::write_file(folder / "config.json",
                          std::string_view(reinterpret_cast<const char*>(data), size));
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
