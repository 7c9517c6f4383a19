#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "quern/files.h"

namespace quern {

/// One tensor of a checkpoint, of whichever format, checked against its file.
struct CheckpointTensor {
  std::string stored_type;  ///< as safetensors spells it: "F16", "F64", "BOOL", …
  std::vector<std::int64_t> shape;
  /// In elements; empty: row-major, without gaps.
  std::vector<std::int64_t> strides;
  std::shared_ptr<const OpenFile> file;
  std::uint64_t offset = 0;      ///< of the first element in the file
  std::uint64_t size_bytes = 0;  ///< of all elements, row-major

  bool is_dense() const { return strides.empty(); }
  std::string file_name() const { return file->path().string(); }

  /// Reads out.size() bytes of a dense tensor from its byte `first` on, which must be there.
  /// Thread-safe. Errors: bad_file when the file was cut short.
  void read(std::uint64_t first, std::span<std::byte> out) const;
  /// All elements, row-major, also of a tensor that is not dense.
  std::vector<std::byte> read_all() const;
};

/// Bytes of one element by safetensors' spelling of its type; nothing for unknown types and those
/// of less than a byte.
std::optional<std::int64_t> stored_element_bytes(std::string_view stored_type);

}  // namespace quern
