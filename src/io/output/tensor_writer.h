#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/output/safetensors_header.h"

namespace quern {

/// A new safetensors file of an OutputFolder, whose tensors are written in any order: the room for
/// all of them is taken from the disk first, so that one that is full is found out at once. Tensors
/// lie in the order of their elements' sizes, the largest first, and so each at a multiple of its
/// own, as the format's own writer has them. Errors of all members: bad_file naming the path with
/// the reason; internal for bytes that the file does not have.
class TensorWriter {
 public:
  TensorWriter(std::filesystem::path path, std::vector<StoredTensor> tensors);
  TensorWriter(const TensorWriter&) = delete;
  TensorWriter& operator=(const TensorWriter&) = delete;
  ~TensorWriter();

  const std::vector<StoredTensor>& tensors() const { return tensors_; }
  bool has(std::string_view name) const { return offsets_.contains(name); }
  /// Bytes of all tensors.
  std::uint64_t total_bytes() const { return total_bytes_; }

  /// Writes values of a tensor, row-major, from its byte `first` on. Each byte is written once.
  void write(std::string_view name, std::uint64_t first, std::span<const std::byte> bytes);
  /// Brings the file to the disk. All bytes must have been written.
  void finish();

 private:
  [[noreturn]] void refuse(int error_number) const;
  void write_at(std::uint64_t offset, std::span<const std::byte> bytes) const;

  std::filesystem::path path_;
  std::vector<StoredTensor> tensors_;
  std::map<std::string, std::uint64_t, std::less<>> offsets_;  ///< in the file
  std::map<std::string, std::uint64_t, std::less<>> sizes_;
  std::uint64_t total_bytes_ = 0;
  std::uint64_t missing_bytes_ = 0;
  int descriptor_ = -1;
};

}  // namespace quern
