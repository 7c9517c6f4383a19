#pragma once

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

namespace quern::fuzz {

/// An empty folder of this process.
inline std::filesystem::path make_folder() {
  std::string name = (std::filesystem::temp_directory_path() / "quern_fuzz_XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) __builtin_trap();
  return name;
}

inline void write_file(const std::filesystem::path& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary)
      .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

}  // namespace quern::fuzz
