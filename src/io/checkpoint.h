#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "quern/safetensors.h"

namespace quern {

/// The weights of a model folder: `model.safetensors`, or the shards that
/// `model.safetensors.index.json` names.
class Checkpoint {
 public:
  /// Errors name the file: a missing or empty folder, only pytorch_model.bin or GGUF present, LFS
  /// pointers, shard paths that leave the folder, a tensor in two shards, an index that contradicts
  /// the shards.
  static Checkpoint open(const std::filesystem::path& folder);

  struct TensorRef {
    const SafetensorsEntry* entry = nullptr;
    const SafetensorsFile* file = nullptr;
  };
  /// The tensor with that name, or an empty ref.
  TensorRef find(std::string_view name) const;
  /// All tensors by name.
  const std::map<std::string, TensorRef, std::less<>>& tensors() const { return tensors_; }
  const std::filesystem::path& folder() const { return folder_; }
  /// Total bytes of all tensors.
  std::uint64_t total_bytes() const;
  /// Tells the kernel that a tensor's pages are no longer needed (after it was copied).
  void release(const TensorRef& tensor) const;

 private:
  void add_file(const std::filesystem::path& path);
  void add_shards(const std::filesystem::path& index);

  std::filesystem::path folder_;
  std::vector<std::unique_ptr<SafetensorsFile>> files_;
  std::map<std::string, TensorRef, std::less<>> tensors_;
};

}  // namespace quern
