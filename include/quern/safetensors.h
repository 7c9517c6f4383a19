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

/// A memory-mapped safetensors file whose header has been checked whole: length at most 100 MB and
/// inside the file, valid JSON, offsets in order without holes or overlaps up to the end of the
/// file, and sizes that match shape and type.
class QUERN_API SafetensorsFile {
 public:
  /// Errors: not_found; bad_file (also for a git-LFS pointer, named as such); unsupported for a
  /// stored type that is unknown.
  static SafetensorsFile open(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return file_.path(); }
  const std::vector<SafetensorsEntry>& entries() const { return entries_; }

  /// Lets the pages of an entry of this file leave memory; reading them again brings them back.
  void release(const SafetensorsEntry& entry) const { file_.release(entry.data); }

 private:
  MappedFile file_;
  std::vector<SafetensorsEntry> entries_;
};

/// A tensor that a file will hold.
struct SafetensorsSpec {
  std::string name;
  DType dtype = DType::float32;
  std::vector<std::int64_t> shape;
};

/// Writes a safetensors file in parts, by way of a temporary file beside it, so that no incomplete
/// file is ever found there. Errors: bad_file naming the path; internal for too many or too few
/// bytes and for a name that is given twice.
class QUERN_API SafetensorsStream {
 public:
  SafetensorsStream(std::filesystem::path path, std::span<const SafetensorsSpec> tensors);
  SafetensorsStream(const SafetensorsStream&) = delete;
  SafetensorsStream& operator=(const SafetensorsStream&) = delete;
  /// Removes what was written, unless it was finished.
  ~SafetensorsStream();

  /// The next bytes of the tensors' values, row-major, in the order of the constructor's list.
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
