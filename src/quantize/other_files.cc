#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "base/error.h"
#include "quantize/model_writer.h"
#include "quern/files.h"
#include "quern/output_file.h"

namespace quern {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t kBlockBytes = std::size_t{1} << 20;

/// Weights of any program, and what says where they are.
bool belongs_to_weights(const std::string& name) {
  constexpr std::array<std::string_view, 13> kEndings = {
      ".safetensors", ".bin",  ".pt",   ".pth",        ".ckpt", ".h5",    ".msgpack",
      ".gguf",        ".ggml", ".onnx", ".index.json", ".npz",  ".tflite"};
  return std::ranges::any_of(kEndings,
                             [&](std::string_view ending) { return name.ends_with(ending); });
}

void copy_whole_file(const fs::path& from, const fs::path& to) {
  const OpenFile source(from);
  OutputFile target(to);
  std::vector<std::byte> block;
  for (std::uint64_t done = 0; done < source.size_bytes(); done += block.size()) {
    block.resize(
        static_cast<std::size_t>(std::min<std::uint64_t>(kBlockBytes, source.size_bytes() - done)));
    source.read(done, block);
    target.write(block);
  }
  target.finish();
}

/// The entries of a folder by name. Hidden ones are not a model's.
std::vector<fs::directory_entry> listed_entries(const fs::path& folder) {
  std::vector<fs::directory_entry> entries;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    if (!it->path().filename().string().starts_with('.')) entries.push_back(*it);
  }
  if (error) fail(ErrorCode::bad_file, "{}: cannot list: {}", folder.string(), error.message());
  std::ranges::sort(entries);
  return entries;
}

}  // namespace

void copy_other_files(const fs::path& source, const fs::path& target) {
  constexpr std::string_view kTemplates = "additional_chat_templates";
  std::error_code error;
  for (const fs::directory_entry& entry : listed_entries(source)) {
    const std::string name = entry.path().filename().string();
    const bool is_broken_link = entry.is_symlink(error) && !entry.exists(error);
    if (entry.is_regular_file(error) || is_broken_link) {  // whose copy says what it is
      if (name != "config.json" && !belongs_to_weights(name)) {
        copy_whole_file(entry.path(), target / name);
      }
    } else if (name == kTemplates && entry.is_directory(error)) {
      if (!fs::create_directory(target / name, error)) {
        fail(ErrorCode::bad_file, "{}: cannot write: {}", (target / name).string(),
             error.message());
      }
      for (const fs::directory_entry& file : listed_entries(entry.path())) {
        if (file.is_regular_file(error)) {
          copy_whole_file(file.path(), target / name / file.path().filename());
        }
      }
    }
  }
}

}  // namespace quern
