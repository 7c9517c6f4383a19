// model.safetensors.index.json beside two small shards; the first byte says whether the index is
// pytorch_model.bin's. What is accepted is listed.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "base/error.h"
#include "io/checkpoint.h"
#include "tests/fuzz/folder_of_input.h"

namespace {

/// A safetensors file of one tensor of four bytes.
std::string shard(std::string_view name) {
  std::string header =
      R"({")" + std::string(name) + R"(":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  std::string size(8, '\0');
  size[0] = static_cast<char>(header.size());
  return size + header + std::string(4, '\0');
}

std::filesystem::path make_folder(std::string_view index) {
  std::filesystem::path folder = quern::fuzz::make_folder();
  quern::fuzz::write_file(folder / "a.safetensors", shard("a"));
  quern::fuzz::write_file(folder / "b.safetensors", shard("b"));
  return folder / index;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::filesystem::path safetensors = make_folder("model.safetensors.index.json");
  static const std::filesystem::path torch = make_folder("pytorch_model.bin.index.json");
  if (size < 1) return -1;
  const std::filesystem::path& index = data[0] % 2 == 0 ? safetensors : torch;
  quern::fuzz::write_file(index,
                          std::string_view(reinterpret_cast<const char*>(data), size).substr(1));
  try {
    const quern::Checkpoint checkpoint = quern::Checkpoint::open(index.parent_path());
    for (const std::string_view name : {"a", "b"}) checkpoint.find(name);
  } catch (const quern::Error& error) {
    if (error.code() == quern::ErrorCode::internal) __builtin_trap();
  }
  return 0;
}
