#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "quern/dtype.h"
#include "quern/export.h"
#include "quern/files.h"

namespace quern {

/// One tensor as the header describes it, checked against the file.
struct SafetensorsEntry {
  std::string name;
  std::string stored_type;  ///< as the header spells it: "F16", "I64", "BOOL", …
  std::vector<std::int64_t> shape;
  std::span<const std::byte>
      data;  ///< row-major, little-endian; points into the mapping, unaligned
};

/// The DType of a stored type (F32, F16, BF16, I32, I64, U8), or nothing for the others.
QUERN_API std::optional<DType> parse_safetensors_dtype(std::string_view stored_type);

/// A memory-mapped safetensors file with a fully checked header: length at most 100 MB and inside
/// the file, valid JSON, offsets in order without holes or overlaps up to the end of the file, and
/// sizes that match shape and type.
class QUERN_API SafetensorsFile {
 public:
  /// Errors: not_found; bad_file (also for a git-LFS pointer, named as such); unsupported for a
  /// stored type that is unknown.
  static SafetensorsFile open(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return file_.path(); }
  const std::vector<SafetensorsEntry>& entries() const { return entries_; }

  /// Drops the pages of an entry of this file from memory; later reads fetch them again.
  void release(const SafetensorsEntry& entry) const { file_.release(entry.data); }

 private:
  MappedFile file_;
  std::vector<SafetensorsEntry> entries_;
};

/// A tensor of a file to write.
struct SafetensorsSpec {
  std::string name;
  DType dtype = DType::float32;
  std::vector<std::int64_t> shape;
};

/// Writes a safetensors file incrementally, through a temporary file in the same folder, so that an
/// incomplete file never has the final name. Errors: bad_file naming the path; internal for too
/// many or too few bytes and for a duplicate name.
class QUERN_API SafetensorsStream {
 public:
  SafetensorsStream(std::filesystem::path path, std::span<const SafetensorsSpec> tensors);
  SafetensorsStream(const SafetensorsStream&) = delete;
  SafetensorsStream& operator=(const SafetensorsStream&) = delete;
  /// Removes the temporary file, unless finish() was called.
  ~SafetensorsStream();

  /// Appends bytes of the tensors' values, row-major, in the constructor's order.
  void write(std::span<const std::byte> bytes);
  /// Renames the file to its final name. All values must have been written.
  void finish();

 private:
  [[noreturn]] void refuse(const std::string& reason) const;

  std::filesystem::path path_;
  std::filesystem::path partial_;
  std::ofstream stream_;
  std::uint64_t missing_bytes_ = 0;
  bool finished_ = false;
};

/// A float32 tensor to write.
struct SafetensorsTensor {
  std::string name;
  std::vector<std::int64_t> shape;
  std::span<const float> values;  ///< row-major
};

/// Writes these tensors as one file. Errors: as SafetensorsStream.
QUERN_API void write_safetensors(const std::filesystem::path& path,
                                 std::span<const SafetensorsTensor> tensors);

}  // namespace quern
