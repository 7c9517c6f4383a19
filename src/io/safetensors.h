#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/dtype.h"
#include "io/mapped_file.h"

namespace quern {

/// One tensor as the header describes it, checked against the file.
struct SafetensorsEntry {
  std::string name;
  std::string stored_type;  ///< as the header spells it: "F16", "I64", "BOOL", …
  std::vector<std::int64_t> shape;
  std::span<const std::byte> data;  ///< points into the mapping
};

/// The DType of a stored type (F32, F16, BF16, I32, I64, U8), or nothing for the
/// others.
std::optional<DType> parse_safetensors_dtype(std::string_view stored_type);

/// A memory-mapped safetensors file whose header has been checked whole: length at most 100 MB and
/// inside the file, valid JSON, offsets in order without holes or overlaps up to the end of the
/// file, and sizes that match shape and type.
class SafetensorsFile {
 public:
  /// Errors: not_found, bad_file (also for a git-LFS pointer, named as such).
  static SafetensorsFile open(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return file_.path(); }
  const std::vector<SafetensorsEntry>& entries() const { return entries_; }

  /// Releases the pages of an entry of this file from memory; reading them again loads them.
  void release(const SafetensorsEntry& entry) const { file_.release(entry.data); }

 private:
  MappedFile file_;
  std::vector<SafetensorsEntry> entries_;
};

/// A float32 tensor to write.
struct SafetensorsTensor {
  std::string name;
  std::vector<std::int64_t> shape;
  std::span<const float> values;
};

/// Writes a safetensors file, by way of a temporary file beside it, so that nothing half-written is
/// ever found there. Errors: bad_file naming the path.
void write_safetensors(const std::filesystem::path& path,
                       std::span<const SafetensorsTensor> tensors);

}  // namespace quern
