#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <vector>

#include "base/dtype.h"

namespace quern {

/// A tensor that a file will hold.
struct SafetensorsSpec {
  std::string name;
  DType dtype = DType::float32;
  std::vector<std::int64_t> shape;
};

/// Writes a safetensors file incrementally, through a temporary file beside it, so that nothing
/// half-written is ever found there. Errors: bad_file naming the path.
class SafetensorsStream {
 public:
  SafetensorsStream(std::filesystem::path path, std::span<const SafetensorsSpec> tensors);
  SafetensorsStream(const SafetensorsStream&) = delete;
  SafetensorsStream& operator=(const SafetensorsStream&) = delete;
  /// Removes what was written, unless it was finished.
  ~SafetensorsStream();

  /// The next bytes of the tensors' values, which follow each other in the order given.
  void write(std::span<const std::byte> bytes);
  /// Puts the file in its place. All values must have been written.
  void finish();

 private:
  [[noreturn]] void refuse(const std::string& reason) const;

  std::filesystem::path path_;
  std::filesystem::path partial_;
  std::ofstream stream_;
  std::uint64_t missing_bytes_ = 0;
  bool finished_ = false;
};

}  // namespace quern
