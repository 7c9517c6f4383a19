#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "quern/dtype.h"
#include "quern/export.h"
#include "quern/files.h"
#include "quern/output_file.h"

namespace quern {

/// One tensor as the header describes it, checked against the file.
struct SafetensorsEntry {
  std::string name;
  std::string stored_type;  ///< as the header spells it: "F16", "I64", "BOOL", …
  std::vector<std::int64_t> shape;
  std::uint64_t offset = 0;      ///< of its data in the file
  std::uint64_t size_bytes = 0;  ///< of its data: row-major, little-endian
};

/// The DType of a stored type (F32, F16, BF16, I32, I64, U8, F8_E4M3), or nothing for the others.
QUERN_API std::optional<DType> parse_safetensors_dtype(std::string_view stored_type);

/// An open safetensors file whose header has been checked whole: length at most 100 MB and inside
/// the file, valid JSON, offsets in order without holes or overlaps up to the end of the file, and
/// sizes that match shape and type. Data is read on demand; nothing is mapped, so that a file that
/// is cut short meanwhile is an error.
class QUERN_API SafetensorsFile {
 public:
  /// Errors: not_found; bad_file (also for a git-LFS pointer, named as such); unsupported for a
  /// stored type that is unknown.
  static SafetensorsFile open(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return file_->path(); }
  const std::vector<SafetensorsEntry>& entries() const { return entries_; }
  const std::shared_ptr<const OpenFile>& file() const { return file_; }

  /// Reads out.size() bytes of an entry of this file, from its byte `first` on. Thread-safe.
  /// Errors: bad_file when the file cannot be read or was cut short; invalid_argument for bytes
  /// that the entry does not have.
  void read(const SafetensorsEntry& entry, std::uint64_t first, std::span<std::byte> out) const;
  /// All bytes of an entry.
  std::vector<std::byte> read(const SafetensorsEntry& entry) const;

 private:
  std::shared_ptr<const OpenFile> file_;
  std::vector<SafetensorsEntry> entries_;
};

/// A tensor of a file to write.
struct SafetensorsSpec {
  std::string name;
  DType dtype = DType::float32;
  std::vector<std::int64_t> shape;
};

/// Writes a safetensors file in parts, as an OutputFile, so that no incomplete file is ever found
/// there. Errors: bad_file naming the path; internal for too many or too few bytes and for a name
/// that is given twice.
class QUERN_API SafetensorsStream {
 public:
  SafetensorsStream(const std::filesystem::path& path, std::span<const SafetensorsSpec> tensors);

  /// Appends bytes of the tensors' values, row-major, in the constructor's order.
  void write(std::span<const std::byte> bytes);
  /// Renames the file to its final name. All values must have been written.
  void finish();

 private:
  OutputFile file_;
  std::uint64_t missing_bytes_ = 0;
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
