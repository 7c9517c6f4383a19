#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace quern::testing {

/// A new folder that is removed with its content at the end.
class TempFolder {
 public:
  TempFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "quern_test_XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("cannot make " + name);
    path_ = name;
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(const std::filesystem::path& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

/// Writes `content`, making the folders above it; returns the path.
inline std::filesystem::path write_file(const std::filesystem::path& path,
                                        std::string_view content) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream stream(path, std::ios::binary);
  stream.write(content.data(), static_cast<std::streamsize>(content.size()));
  stream.close();
  if (!stream) throw std::runtime_error("cannot write " + path.string());
  return path;
}

/// The whole file as bytes.
inline std::string read_file(const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary);
  if (!stream) throw std::runtime_error("cannot read " + path.string());
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

/// The bytes of numbers as they lie in memory.
template <typename T>
std::string bytes_of(const std::vector<T>& values) {
  std::string bytes(values.size() * sizeof(T), '\0');
  if (!values.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

/// A safetensors file from a header and data that need not be consistent; nor need `header_bytes`,
/// when given, match `header`.
inline std::string raw_safetensors(std::string_view header, std::string_view data,
                                   std::optional<std::uint64_t> header_bytes = std::nullopt) {
  std::string file(8, '\0');
  const std::uint64_t length = header_bytes.value_or(header.size());
  for (int i = 0; i < 8; ++i) file[i] = static_cast<char>(length >> (8 * i) & 0xff);
  return file.append(header).append(data);
}

/// One tensor of a valid file: `type` as safetensors spells it ("F16"), `data` its bytes.
struct RawTensor {
  std::string name;
  std::string type;
  std::vector<std::int64_t> shape;
  std::string data;
};

/// A safetensors file of these tensors in order. It is valid if each one's data matches its type
/// and shape.
inline std::string make_safetensors(const std::vector<RawTensor>& tensors) {
  std::string header = "{";
  std::string data;
  for (const RawTensor& tensor : tensors) {
    if (header.size() > 1) header += ',';
    header += '"' + tensor.name + R"(":{"dtype":")" + tensor.type + R"(","shape":[)";
    for (std::size_t i = 0; i < tensor.shape.size(); ++i) {
      if (i > 0) header += ',';
      header += std::to_string(tensor.shape[i]);
    }
    const std::size_t begin = data.size();
    data += tensor.data;
    header +=
        R"(],"data_offsets":[)" + std::to_string(begin) + ',' + std::to_string(data.size()) + "]}";
  }
  return raw_safetensors(header + '}', data);
}

/// A demo model of the source tree.
inline std::filesystem::path demo_model(const std::string& name) {
  return std::filesystem::path(QUERN_SOURCE_DIR) / "examples/models" / name;
}

/// `relative` inside the folder of large test data beside the source tree. It may be missing: see
/// QUERN_SKIP_WITHOUT.
inline std::filesystem::path shared_path(const std::filesystem::path& relative) {
  return std::filesystem::path(QUERN_SOURCE_DIR).parent_path() / "shared" / relative;
}

}  // namespace quern::testing

/// Skips the running test, saying what is missing.
#define QUERN_SKIP_WITHOUT(file)                                                               \
  if (const std::filesystem::path needed_file = (file); !std::filesystem::exists(needed_file)) \
  GTEST_SKIP() << needed_file.string() << " is missing"
